"""Build benchmarks of controlled image variations for CLIP-like models."""
