"""Least squares: from drawn rows, by Kaczmarz iterations, from all rows, each with its certificate."""
