from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

import qinspired as qi

ESTIMATORS = [
    qi.SampledPCA(),
    qi.SampledPCA(1),
    qi.SampledPCA(1, whiten=True),
    qi.SampledPCA(0.9),
    qi.SampledSVD(),
    qi.SampledSVD(n_components=1),
    qi.SampledRidge(),
    qi.SampledRidge(fit_intercept=False),
    qi.SampledRidgeCV(),
    qi.SampledRidgeCV(fit_intercept=False),
    qi.SampledRidgeClassifier(),
    qi.SampledRidgeClassifier(class_weight="balanced"),
    qi.SampledKernelRidge(),
    qi.SampledKernelRidge(kernel="poly"),
    qi.SublinearPerceptron(),
]

# What `parametrize_with_checks` runs, as a list: before scikit-learn 1.9 that hands pytest a generator, which
# newer versions of pytest refuse. No failure is expected, so none is declared.
CASES = [case for estimator in ESTIMATORS for case in estimator_checks_generator(estimator)]
NAMES = [f"{estimator}-{check.func.__name__}" for estimator, check in CASES]


@pytest.mark.parametrize(("estimator", "check"), CASES, ids=NAMES)
def test_scikit_learn_finds_no_fault(estimator, check):
    check(estimator)
