"""Sockets and processes: the admin socket, the daemon, the executor in one's own program, the gateway's keeper."""
