"""A small world of rendered objects on textured backgrounds, and toy models trained on it.

The world shows what the toolkit measures where nothing can be downloaded: its masks are exact, its
backgrounds can be told apart, and a model that looks at the wrong thing can be made on purpose.
"""
