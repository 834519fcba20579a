"""The pure state machine around one worker: inputs are applied, outputs come back, replay compares the two."""
