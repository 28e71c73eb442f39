"""Weights and matrices that change."""
