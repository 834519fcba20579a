"""The version of promissory: written here alone; pyproject.toml, the command line and the greeting read it."""

VERSION = "0.1.0"
