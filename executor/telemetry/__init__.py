"""Ground: where log lines go, how durations are counted, how a traceback is shown."""
