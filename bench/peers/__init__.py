"""The same work on ours and on Restate, with one load generator: `python -m bench.peers`."""
