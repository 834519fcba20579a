"""The admin protocol, sans I/O: frames, the fields of each request, errors as maps."""
