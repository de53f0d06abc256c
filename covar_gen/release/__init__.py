"""Turns a finished run into a release: files that `datasets` opens, each image encoded once."""
