"""The host side, in floors: each folder imports only the floors below it."""
