"""What the estimators of a row space share: blocks of rows, coordinates, and what scikit-learn asks for."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from qinspired._validation import check_fraction, check_rank
from qinspired.estimators._checked import SharesResult, validated
from qinspired.estimators._factors import with_fixed_signs
from qinspired.estimators._row_stream import RowStream, sketch_rows
from qinspired.exceptions import ToleranceNotMetWarning

if TYPE_CHECKING:
    from typing import Self

    from qinspired._typing import FloatArray

__all__ = ["RowSpaceMixin"]


class RowSpaceMixin(SharesResult, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """An estimator with orthonormal `components_`, which `fit` finds in a matrix or `partial_fit` in a stream of rows.

    A subclass gives `_wanted_rank`, the number of components to find in a block of some shape.
    """

    _result = "approximation_"

    n_components: Any
    tol: float
    components_: FloatArray

    def _wanted_rank(self, shape: tuple[int, int]) -> Any:
        raise NotImplementedError

    def _forget_stream(self) -> None:
        for name in ("_stream", "n_samples_seen_"):
            self.__dict__.pop(name, None)

    def _next_block(self, X: Any, *, is_centred: bool) -> tuple[Any, RowStream]:
        """Return a checked block of rows, and the stream before it."""
        name = type(self).__name__
        stream: RowStream | None = vars(self).get("_stream")
        if stream is None and hasattr(self, "components_"):
            warnings.warn(
                f"{name}.partial_fit starts anew: `fit` keeps no sketch of its rows to go on from. Give all rows to "
                "`partial_fit`, from the first block on.",
                UserWarning,
                stacklevel=3,
            )
        X = validated(self, X, accept_sparse="csr", reset=stream is None)
        tol = check_fraction(self.tol, "tol")
        if stream is None:
            rank = check_rank(self._wanted_rank(X.shape), X.shape, name="n_components")
            return X, RowStream(X.shape[1], rank, sketch_rows(rank, tol, X.shape[1]), X.dtype, is_centred=is_centred)
        if self.n_components not in (None, stream.rank):
            raise ValueError(
                f"`n_components` must stay what it was in the first block, {stream.rank}; got {self.n_components}. "
                "Use a new estimator for another number."
            )
        return X, stream

    def _found_in(self, stream: RowStream) -> Any:
        """Return the components of a stream of rows, with fixed signs; warn if memory limits their accuracy."""
        approx = stream.sketch.low_rank(stream.rank)
        if approx.excess.high > self.tol:
            warnings.warn(
                f"{type(self).__name__}.partial_fit: the excess may be {approx.excess.high:.3g}, above `tol` = "
                f"{self.tol:g}, as memory limits the sketch to {stream.sketch.sketch_size} rows. Use a larger `tol` "
                "or fewer components.",
                ToleranceNotMetWarning,
                stacklevel=3,
            )
        return replace(approx, components=with_fixed_signs(approx.components))

    def _coordinates(self, X: Any) -> FloatArray:
        """Return checked coordinates, one column for each component."""
        check_is_fitted(self)
        coordinates: FloatArray = check_array(X, dtype=[np.float64, np.float32], input_name="X")
        if coordinates.shape[1] != len(self.components_):
            raise ValueError(
                f"`X` must have {len(self.components_)} columns, one for each component; got shape "
                f"{coordinates.shape}. Pass what `transform` returned."
            )
        return coordinates

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # two that went on from one sketch would write into the same array
