"""Functions of A^T A from drawn rows, and from all rows."""
