"""Frames: one 2D X-ray image and what can be computed on it. Pure: no file is touched in this room."""
