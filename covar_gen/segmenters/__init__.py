"""What outlines an object, one file each."""
