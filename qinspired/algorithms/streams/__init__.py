"""Sketches of rows that are read once."""
