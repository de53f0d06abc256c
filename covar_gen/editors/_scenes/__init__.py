"""Backgrounds for the collage editor: painted by number and noise, or a user's own photographs."""
