"""What every request passes: its head, path, origin and body, and the forms in which it is refused."""
