"""What the command line calls; each command is a function here."""
