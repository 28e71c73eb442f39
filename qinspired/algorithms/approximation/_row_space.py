"""What follows from orthonormal components: the projection on the row space that they span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qinspired._validation import check_matrix

if TYPE_CHECKING:
    import numpy as np

    from qinspired._typing import FloatArray

__all__ = ["RowSpace"]


class RowSpace:
    """A row space with an orthonormal basis `components` of shape (k, n); the base of the answers A V V^T."""

    __slots__ = ()

    components: FloatArray

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the components."""
        return self.components.dtype

    @property
    def rank(self) -> int:
        """Number k of components."""
        return len(self.components)

    def project(self, rows: Any) -> FloatArray:
        """Return rows V V^T.

        Parameters
        ----------
        rows : array_like or sparse matrix, shape (q, n)
            Rows of A or new ones.

        Returns
        -------
        ndarray, shape (q, n)
        """
        block = check_matrix(rows, "rows")
        n = self.components.shape[1]
        if block.shape[1] != n:
            raise ValueError(f"`rows` must have {n} columns, as A has; got shape {block.shape}.")
        projected: FloatArray = (block @ self.components.T) @ self.components
        return projected
