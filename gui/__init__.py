"""The operator's side: the window and the command line. Never torch."""
