"""What places an object before a background, one file each."""
