"""Low-rank approximation: from drawn rows, from rows and columns, from full passes, each with its certificate."""
