"""Workers that reach workers: calls, asks and cancelling, and the end of waits for one another that have none."""
