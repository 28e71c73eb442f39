"""Indexed matrices in files."""
