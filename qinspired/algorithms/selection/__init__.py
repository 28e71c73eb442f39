"""Columns and rows of a matrix that stand for all of it, and the decomposition from both."""
