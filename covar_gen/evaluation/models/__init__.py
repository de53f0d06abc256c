"""Models: one interface over open_clip's and transformers' towers."""
