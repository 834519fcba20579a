"""Our numbers beside the physical limits, measured in one run: `python -m bench`."""
