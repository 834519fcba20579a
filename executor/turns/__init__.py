"""What moves: turns, timers that are due, recovery, and the executor put together. It knows all floors below."""
