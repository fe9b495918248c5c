"""LED boards on a serial line."""
