"""What the sub-commands of the command line do. Each module is imported when its command is called."""
