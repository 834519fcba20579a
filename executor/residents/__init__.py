"""Workers in memory: found, created, read back, queried, retried, suspended; their timers and those who wait."""
