"""Summaries of the spectrum from drawn rows, with intervals."""
