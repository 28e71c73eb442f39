"""Randomly pivoted Cholesky approximation of positive semi-definite matrices."""
