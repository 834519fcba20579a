"""What a step's outputs do, one file a family: promises, names, sleeps, effects, calls, asks, cancelling, deletion."""
