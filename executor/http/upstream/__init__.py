"""The gateway's way to the executor: shared connections, what is served, and clients that hang up."""
