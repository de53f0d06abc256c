"""Evaluates CLIP-like models on a benchmark, or on any labelled images."""
