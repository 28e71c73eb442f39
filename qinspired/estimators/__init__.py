"""Estimators with scikit-learn's interface: validate, convert, call one algorithm, store attributes."""

from __future__ import annotations

from qinspired.estimators._pca import SampledPCA
from qinspired.estimators._recommender import SampledRecommender
from qinspired.estimators._ridge import SampledRidge
from qinspired.estimators._svd import SampledSVD

__all__ = ["SampledPCA", "SampledRecommender", "SampledRidge", "SampledSVD"]
