"""The families of routes, one file each, and what they share: pages of lists and delays."""
