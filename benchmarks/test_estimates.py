"""Estimates from draws: coverage of their intervals, draws and seconds at equal accuracy, and where they lose.

The exact `x @ y` of two arrays in memory is the rival to beat, and beats the estimate up to the size that is printed;
draws by uniform positions are the other.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from timing import side_by_side

import qinspired as qi

SEEDS = 500
LENGTH = 5000


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pairs of vectors, from the harmless to those made to be missed."""
    rng = np.random.default_rng(0)

    def normal() -> np.ndarray:
        return rng.standard_normal(LENGTH)

    def student() -> np.ndarray:
        return rng.standard_t(2, LENGTH)

    found = {}
    x = normal()
    found["normal"] = x, normal()
    found["normal, correlation 0.8"] = x, 0.8 * x + 0.6 * normal()
    found["normal, correlation -0.8"] = x, 0.6 * normal() - 0.8 * x
    y = normal()
    found["nearly orthogonal"] = x, y - x * (x @ y) / (x @ x) + 1e-3 * x
    found["Student, 2 df"] = student(), student()
    x = student()
    found["Student, 2 df, correlated"] = x, 0.5 * x + 0.5 * student()
    found["log-normal, sigma 2"] = np.exp(2 * normal()), np.exp(2 * normal())
    x = np.exp(2 * normal())
    found["log-normal, correlated"] = x, x**0.7 * np.exp(0.7 * normal())
    found["log-normal, random signs"] = np.exp(2 * normal()) * np.sign(normal()), np.exp(2 * normal())
    x, y = 0.01 * normal(), 0.01 * normal()
    x[:20] += 10.0
    y[20:40] -= 10.0
    found["large entries disjoint"] = x, y
    x, y = 1e-3 * np.abs(normal()), 1e-3 * np.abs(normal())
    x[0] = y[1] = 1.0
    found["one large entry each, disjoint"] = x, y
    x, y = np.zeros(LENGTH), np.zeros(LENGTH)
    x[:60], y[40:100] = rng.standard_normal((2, 60))
    found["sparse, a third shared"] = x, y
    return found


def laws(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    def law(values: np.ndarray, exponent: int) -> np.ndarray:
        powers = (np.abs(values) / np.abs(values).max()) ** exponent
        return powers / powers.sum()

    return {
        "exponent 1": law(x, 1),
        "exponent 2": law(x, 2),
        "both, 1": (law(x, 1) + law(y, 1)) / 2,
        "both, 2": (law(x, 2) + law(y, 2)) / 2,
        "uniform": np.full(len(x), 1 / len(x)),
    }


def variance(x: np.ndarray, y: np.ndarray, law: np.ndarray) -> float:
    """Return the exact variance of one summand."""
    some = law > 0.0
    return float(((x * y)[some] ** 2 / law[some]).sum() - (x @ y) ** 2)


def test_coverage_of_the_intervals(benchmark, report, tiny):
    seeds = 20 if tiny else SEEDS
    spans: dict[tuple[str, int], list[float]] = {}
    for kind, (x, y) in pairs().items():
        truth = x @ y
        x2, y2 = qi.SampleQueryVector(x), qi.SampleQueryVector(y)
        x1, y1 = qi.SampleQueryVector(x, exponent=1), qi.SampleQueryVector(y, exponent=1)
        contenders = {
            "both, 2": (x2, y2, "student"),
            "both, 2, bernstein": (x2, y2, "bernstein"),
            "both, 1": (x1, y1, "student"),
            "x, 1": (x1, y, "student"),
            "x, 2": (x2, y, "student"),
        }
        shown = []
        for name, (left, right, interval) in contenders.items():
            shares = []
            for n_draws in (100, 1000, 10_000):
                found = [
                    qi.estimate_inner_product(left, right, n_draws, rng=seed, interval=interval)
                    for seed in range(seeds)
                ]
                shares.append(100 * float(np.mean([e.low <= truth <= e.high for e in found])))
                spans.setdefault((name, n_draws), []).append(shares[-1])
            shown.append(f"{name}: " + "/".join(f"{share:.0f}" for share in shares))
        report(f"coverage % at 100/1000/10000 draws, {kind}: " + "; ".join(shown))
    for (name, n_draws), shares in spans.items():
        report(f"coverage %, {name}, {n_draws} draws: {min(shares):.1f} to {max(shares):.1f} over 12 pairs")
        benchmark.extra_info[f"{name}, {n_draws}"] = [min(shares), max(shares)]
        if name == "both, 2" and not tiny:
            assert min(shares) >= 92.0
        if name == "both, 2, bernstein" and not tiny:
            assert min(shares) >= 95.0
    x, y = (qi.SampleQueryVector(v) for v in pairs()["normal"])
    benchmark(lambda: qi.estimate_inner_product(x, y, 1000, rng=0))


def test_draws_for_an_error_of_one_percent(benchmark, report):
    # Of |x| |y|, against which every error of an inner product is measured here: <x, y> may be next to nothing.
    for kind, (x, y) in pairs().items():
        unit = np.linalg.norm(x) * np.linalg.norm(y)
        needed = {name: variance(x, y, law) / (0.01 * unit) ** 2 for name, law in laws(x, y).items()}
        least = (np.abs(x * y).sum() ** 2 - (x @ y) ** 2) / (0.01 * unit) ** 2
        report(
            f"draws for a standard error of 1 % of |x||y|, {kind}: "
            + ", ".join(f"{name} {draws:,.0f}" for name, draws in needed.items())
            + f"; by |x_i y_i|, the least, {least:,.0f}"
        )
        benchmark.extra_info[kind] = needed
        assert needed["both, 2"] <= 10_000
    x, y = pairs()["log-normal, sigma 2"]
    unit = np.linalg.norm(x) * np.linalg.norm(y)
    left, right = qi.SampleQueryVector(x), qi.SampleQueryVector(y)
    n_draws = round(variance(x, y, laws(x, y)["both, 2"]) / (0.01 * unit) ** 2)
    errors = [qi.estimate_inner_product(left, right, n_draws, rng=seed).value - x @ y for seed in range(300)]
    measured = float(np.sqrt(np.mean(np.square(errors)))) / unit
    report(f"log-normal, both, 2: {n_draws} draws have a measured error of {measured:.2%} of |x||y|")
    assert measured == pytest.approx(0.01, rel=0.2)
    benchmark(lambda: qi.estimate_inner_product(left, right, n_draws, rng=0))


def uniform_estimate(x: np.ndarray, y: np.ndarray, n_draws: int, rng: np.random.Generator) -> float:
    positions = rng.integers(0, len(x), n_draws)
    return float(np.mean(x[positions].astype(np.float64) * y[positions])) * len(x)


def long_pair(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(n, dtype=np.float32), rng.standard_normal(n, dtype=np.float32)
    if kind == "heavy":  # log-normal of sigma 1.5, and one of sigma 1 that goes with it
        y *= np.float32(0.5)
        y += x
        x *= np.float32(1.5)
        np.exp(x, out=x)
        np.exp(y, out=y)
    return x, y


def uniform_variance(x: np.ndarray, y: np.ndarray) -> float:
    """Return the exact variance of a summand of uniform draws; by parts, since arrays may be long."""
    total = total_sq = 0.0
    for start in range(0, len(x), 10**6):
        products = x[start : start + 10**6].astype(np.float64) * y[start : start + 10**6]
        total += float(products.sum())
        total_sq += float(products @ products)
    return len(x) * total_sq - total**2


_RATIOS: dict[str, dict[int, float]] = {"flat": {}, "heavy": {}}


@pytest.mark.parametrize("n", [10**4, 10**5, 10**6, 10**7, 10**8])
@pytest.mark.parametrize("kind", ["flat", "heavy"])
def test_seconds_against_the_exact_inner_product(benchmark, report, tiny, kind, n):
    if tiny and n > 10**5:
        pytest.skip("at full scale only")
    x, y = long_pair(kind, n)
    started = time.perf_counter()
    left, right = qi.SampleQueryVector(x), qi.SampleQueryVector(y)
    left.sample(1, rng=0)
    right.sample(1, rng=0)
    built = time.perf_counter() - started
    unit = left.norm * right.norm
    # The error promised whatever the vectors: 1 % of |x| |y| for 10,000 draws from both.
    n_draws, n_uniform = 10_000, round(uniform_variance(x, y) / (0.01 * unit) ** 2)
    measured_uniform = min(n_uniform, 10**6)
    generator = np.random.default_rng(1)
    timed = side_by_side(
        {
            "both": lambda: qi.estimate_inner_product(left, right, n_draws, rng=generator),
            "uniform": lambda: uniform_estimate(x, y, measured_uniform, generator),
            "exact": lambda: float(x @ y),
        },
        2 if tiny else 9,
    )
    seconds = {name: timing.median for name, (timing, _) in timed.items()}
    seconds["uniform"] *= n_uniform / measured_uniform
    errors = [qi.estimate_inner_product(left, right, n_draws, rng=seed).value / unit for seed in range(20)]
    error = float(np.std(errors))
    ratio = seconds["exact"] / seconds["both"]
    _RATIOS[kind][n] = ratio
    if ratio > 1.0:
        uses = built / (seconds["exact"] - seconds["both"])
        verdict = f"draws win {ratio:.1f}x, and repay the tables after {uses:,.0f} uses"
    else:
        verdict = f"exact wins {1 / ratio:.1f}x"
    report(
        f"<x, y> of {kind} vectors, n = {n:,}: exact {seconds['exact'] * 1e3:.3f} ms, {n_draws} draws from both "
        f"{seconds['both'] * 1e3:.3f} ms (error {error:.2%} of |x||y|), {n_uniform:,} uniform draws for 1 % "
        f"{seconds['uniform'] * 1e3:.3f} ms; tables {built:.2f} s; {verdict}"
    )
    won = [size for size, r in _RATIOS[kind].items() if r > 1.0]
    if n == 10**8:
        report(
            f"crossover, {kind}: draws beat the exact product in memory from n = {min(won):,}"
            if won
            else f"crossover, {kind}: none up to n = {n:,}"
        )
    benchmark.extra_info.update(seconds=seconds, built=built, error=error)
    benchmark.pedantic(lambda: qi.estimate_inner_product(left, right, n_draws, rng=generator), rounds=1 if tiny else 5)


def test_lengths_of_the_intervals_of_a_norm(benchmark, report, tiny):
    rng = np.random.default_rng(0)
    seeds = 20 if tiny else 200
    for kind in ("independent", "nearly cancelling"):
        for n_rows in (2, 10, 50):
            X, coefficients = rng.standard_normal((n_rows, 2000)), rng.standard_normal(n_rows)
            if kind == "nearly cancelling":
                X = X[:1] + 0.05 * X
                coefficients -= coefficients.mean()
            x = qi.RowCombination(qi.as_sq_matrix(X), np.arange(n_rows), coefficients)
            truth = np.linalg.norm(x.to_array())
            shown = []
            for interval in ("student", "bernstein", "clopper-pearson"):
                found = [qi.estimate_norm(x, 1000, rng=seed, interval=interval) for seed in range(seeds)]
                length = float(np.median([e.high - e.low for e in found])) / truth
                cover = 100 * float(np.mean([e.low <= truth <= e.high for e in found]))
                shown.append(f"{interval} {length:.3f} ({cover:.0f} %)")
            report(f"norm of {n_rows} {kind} rows, 1000 proposals, length / |x| (coverage): " + ", ".join(shown))
    benchmark(lambda: qi.estimate_norm(x, 1000, rng=0))


@pytest.mark.parametrize("storage", ["dense", "csr"])
def test_entries_against_rows_for_a_trace(benchmark, report, tiny, storage):
    rng = np.random.default_rng(0)
    m, n = (500, 50) if tiny else (20_000, 500)
    X = rng.standard_normal((m, n)) * rng.exponential(size=(m, 1))
    Y = 0.5 * X + rng.standard_normal((m, n))
    if storage == "csr":
        import scipy.sparse as sp

        mask = rng.random((m, n)) < 0.05
        X, Y = sp.csr_array(X * mask), sp.csr_array(Y * mask)
    A, B = qi.as_sq_matrix(X), qi.as_sq_matrix(Y)
    exact = float((X.multiply(Y) if storage == "csr" else X * Y).sum())
    unit = A.frobenius_norm * B.frobenius_norm
    timed = side_by_side(
        {by: lambda by=by: qi.estimate_trace(A, B, 1000, rng=0, by=by) for by in ("entries", "rows")}
        | {"exact": lambda: float((X.multiply(Y) if storage == "csr" else X * Y).sum())},
        1 if tiny else 5,
    )
    for by in ("entries", "rows"):
        errors = [qi.estimate_trace(A, B, 1000, rng=seed, by=by).value - exact for seed in range(20 if tiny else 60)]
        deviation = float(np.sqrt(np.mean(np.square(errors)))) / unit
        seconds = timed[by][0].median
        benchmark.extra_info[by] = {"seconds": seconds, "error": deviation}
        report(
            f"trace of {storage} {m} x {n}, 1000 draws by {by}: {seconds * 1e3:.2f} ms, error {deviation:.3%} of "
            f"|A||B|, {(deviation / 0.01) ** 2 * seconds * 1e3:.3g} ms for 1 %; exact "
            f"{timed['exact'][0].median * 1e3:.2f} ms"
        )
    benchmark(lambda: qi.estimate_trace(A, B, 1000, rng=0, by="rows"))
