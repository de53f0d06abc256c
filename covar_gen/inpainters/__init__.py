"""What fills unknown pixels, one file each."""
