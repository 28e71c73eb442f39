"""Matrices made of other matrices: sums, products, transposes, centred ones."""
