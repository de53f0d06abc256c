"""Controlled changes of an image, one file each."""
