"""Estimators with scikit-learn's interface: validate, convert, call one algorithm, store attributes."""

from __future__ import annotations

from qinspired.estimators._kernel_ridge import SampledKernelRidge
from qinspired.estimators._pca import SampledPCA
from qinspired.estimators._perceptron import SublinearPerceptron
from qinspired.estimators._recommender import SampledRecommender
from qinspired.estimators._ridge import SampledRidge
from qinspired.estimators._ridge_classifier import SampledRidgeClassifier
from qinspired.estimators._ridge_cv import SampledRidgeCV
from qinspired.estimators._svd import SampledSVD

__all__ = [
    "SampledKernelRidge",
    "SampledPCA",
    "SampledRecommender",
    "SampledRidge",
    "SampledRidgeCV",
    "SampledRidgeClassifier",
    "SampledSVD",
    "SublinearPerceptron",
]
