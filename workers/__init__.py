"""The guest side: the host functions, components, and in `machine/` what steps a worker. No trio, no I/O, no clock."""
