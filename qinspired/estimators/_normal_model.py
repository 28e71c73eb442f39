"""The normal law that principal axes and one variance for the rest describe: probabilistic PCA."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from qinspired.estimators._centred_rows import dense_blocks
from qinspired.estimators._checked import validated

if TYPE_CHECKING:
    from qinspired._typing import Float64Array, FloatArray

__all__ = ["NormalModelMixin"]


class NormalModelMixin:
    """Covariance, precision and likelihood from `components_`, `explained_variance_`, `noise_variance_`, `mean_`."""

    components_: FloatArray
    explained_variance_: Float64Array
    noise_variance_: float
    mean_: FloatArray

    def get_covariance(self) -> Float64Array:
        """Return the covariance of the model: that of the axes, and `noise_variance_` in all other directions.

        Returns
        -------
        ndarray of float64, shape (n_features, n_features)
        """
        check_is_fitted(self)
        V = self.components_.astype(np.float64)
        noise = self.noise_variance_
        covariance = (V.T * (self._model_variances() - noise)) @ V
        covariance.flat[:: len(covariance) + 1] += noise
        return covariance

    def get_precision(self) -> Float64Array:
        """Return the inverse of `get_covariance`.

        Returns
        -------
        ndarray of float64, shape (n_features, n_features)

        Raises
        ------
        ValueError
            If the model has a direction without variance.
        """
        inverse, noise = self._inverse_variances()
        V = self.components_.astype(np.float64)
        precision = (V.T * (inverse - noise)) @ V
        precision.flat[:: len(precision) + 1] += noise
        return precision

    def score_samples(self, X: Any) -> Float64Array:
        """Return the log-likelihood of each row under the normal law with `mean_` and `get_covariance`.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of float64, shape (n_samples,)

        Raises
        ------
        ValueError
            If the model has a direction without variance, so that there is no density.

        Notes
        -----
        Cost: two products with V, in blocks of rows; no n_features x n_features matrix is formed.
        """
        inverse, noise = self._inverse_variances()
        X = validated(self, X, accept_sparse="csr", reset=False)
        V, mean = self.components_.astype(np.float64), self.mean_.astype(np.float64)
        distances = np.empty(X.shape[0])
        for start, block in dense_blocks(X):
            rows = block - mean
            inside = rows @ V.T
            outside = rows - inside @ V
            distances[start : start + len(block)] = inside**2 @ inverse + noise * (outside**2).sum(axis=1)
        rank, n = V.shape
        log_det = float(np.log(inverse).sum()) + ((n - rank) * math.log(noise) if n > rank else 0.0)
        scores: Float64Array = -0.5 * (distances + n * math.log(2.0 * math.pi) - log_det)
        return scores

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
            Data.
        y : ignored
            Present for the interface.

        Returns
        -------
        float
        """
        del y
        return float(self.score_samples(X).mean())

    def _model_variances(self) -> Float64Array:
        return np.maximum(self.explained_variance_, self.noise_variance_)

    def _inverse_variances(self) -> tuple[Float64Array, float]:
        """Return the inverse variances of the axes and of the noise, 0 where there is no direction of noise."""
        check_is_fitted(self)
        variances = self._model_variances()
        rank, n = self.components_.shape
        smallest = float(variances.min()) if rank == n else self.noise_variance_
        if smallest <= 0.0 or not math.isfinite(1.0 / smallest) or not np.isfinite(variances).all():
            raise ValueError(
                "the model must have a finite variance above 0 in every direction for a density; `noise_variance_` is "
                f"{self.noise_variance_:g} with {rank} components of {n} features, the largest variance "
                f"{float(variances.max()):g}. Use fewer components, or divide X by a constant if squares of its "
                "entries overflow or underflow."
            )
        return 1.0 / variances, 0.0 if rank == n else 1.0 / self.noise_variance_
