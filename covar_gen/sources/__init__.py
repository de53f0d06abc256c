"""Where photographs come from, one file each."""
