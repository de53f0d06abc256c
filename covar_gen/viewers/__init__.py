"""What shows an object from other positions, one file each."""
