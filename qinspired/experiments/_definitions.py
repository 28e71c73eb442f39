"""Definitions of sweeps: TOML files, shipped or the user's, checked to the last key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qinspired._validation import check_count, check_fraction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qinspired.experiments._task import Kind

__all__ = [
    "Definition",
    "DefinitionError",
    "FigureDefinition",
    "ProblemDefinition",
    "SolverDefinition",
    "list_definitions",
    "load_definition",
]

_AXES = ("rank", "kappa", "shape")
_TASKS = ("low-rank", "linear")
_GENERATORS = ("linear_system", "linear_system_cell", "low_rank_matrix")
_MEASURES = ("error", "seconds")


class DefinitionError(ValueError):
    """A definition that does not say what to run; the message names it, the fault and what is allowed."""


@dataclass(frozen=True, slots=True)
class ProblemDefinition:
    """A generator of `qinspired.problems` that makes the problem of a cell."""

    task: Kind
    generator: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SolverDefinition:
    """A solver, its parameters, and for how many seeds it runs."""

    task: Kind
    use: str
    label: str
    seeds: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FigureDefinition:
    """What is drawn: `y` against `x`, one panel for each value of `panels`."""

    x: str
    panels: str
    y: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A sweep.

    Attributes
    ----------
    name, title, description : str
        Short name, heading, and what it shows.
    tolerance : float
        Accuracy asked of solvers that take one.
    grid, quick : dict
        Values of rank, kappa and shape; `quick` replaces some of them for a small run.
    problems, solvers : tuple
        Each solver runs on each cell of each problem of its task.
    figure : FigureDefinition
        What is drawn.
    """

    name: str
    title: str
    description: str
    tolerance: float
    grid: dict[str, list[Any]]
    quick: dict[str, list[Any]]
    problems: tuple[ProblemDefinition, ...]
    solvers: tuple[SolverDefinition, ...]
    figure: FigureDefinition


def list_definitions() -> dict[str, str]:
    """Return the names of the shipped definitions and their titles."""
    files = _shipped()
    return {name: _parse(text, name).title for name, text in files.items()}


def load_definition(name: str) -> Definition:
    """Return a definition by its name, or from the path of a `.toml` file.

    Parameters
    ----------
    name : str
        A shipped name, or a path that ends in `.toml`.

    Returns
    -------
    Definition
        Checked.

    Raises
    ------
    DefinitionError
        If there is no such name, or the file is no valid definition.
    FileNotFoundError
        If there is no such file.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"{name}: no such file. Check the path.")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DefinitionError(f"{name}: must be UTF-8 text. Save it as such.") from error
        return _parse(text, name)
    files = _shipped()
    if name not in files:
        raise DefinitionError(
            f"`EXPERIMENT` must be one of {', '.join(files)}, or the path of a .toml file; got {name!r}."
        )
    return _parse(files[name], name)


def _shipped() -> dict[str, str]:
    folder = resources.files("qinspired.experiments") / "definitions"
    files = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return {name.removesuffix(".toml"): files[name].read_text(encoding="utf-8") for name in sorted(files)}


def _parse(text: str, where: str) -> Definition:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{where}: is not valid TOML: {error}.") from error
    optional = ("description", "tolerance", "quick")
    required = ("name", "title", "grid", "problem", "solver", "figure")
    _check_keys(raw, required, optional, where)
    for key in ("name", "title"):
        _check_type(raw[key], str, key, where)
    grid = _grid(raw["grid"], f"{where}, [grid]", required=_AXES)
    problems = tuple(_problem(entry, where) for entry in _tables(raw["problem"], "problem", where))
    solvers = tuple(_solver(entry, where) for entry in _tables(raw["solver"], "solver", where))
    return Definition(
        name=raw["name"],
        title=raw["title"],
        description=" ".join(str(raw.get("description", "")).split()),
        tolerance=_wrap(lambda: check_fraction(raw.get("tolerance", 0.05), "tolerance"), where),
        grid=grid,
        quick=_grid(raw.get("quick", {}), f"{where}, [quick]", required=()),
        problems=problems,
        solvers=solvers,
        figure=_figure(raw["figure"], where),
    )


def _problem(raw: dict[str, Any], where: str) -> ProblemDefinition:
    place = f"{where}, [[problem]]"
    _check_keys(raw, ("task", "generator"), ("parameters",), place)
    _check_choice(raw["task"], _TASKS, "task", place)
    _check_choice(raw["generator"], _GENERATORS, "generator", place)
    if (raw["task"] == "linear") == (raw["generator"] == "low_rank_matrix"):
        raise DefinitionError(
            f"{place}: `generator` {raw['generator']!r} makes no problem of the task {raw['task']!r}."
        )
    parameters = raw.get("parameters", {})
    _check_type(parameters, dict, "parameters", place)
    return ProblemDefinition(cast("Kind", raw["task"]), raw["generator"], parameters)


def _solver(raw: dict[str, Any], where: str) -> SolverDefinition:
    place = f"{where}, [[solver]]"
    _check_keys(raw, ("task", "use", "label"), ("seeds", "parameters"), place)
    _check_choice(raw["task"], _TASKS, "task", place)
    for key in ("use", "label"):
        _check_type(raw[key], str, key, place)
    parameters = raw.get("parameters", {})
    _check_type(parameters, dict, "parameters", place)
    seeds = _wrap(lambda: check_count(raw.get("seeds", 1), "seeds", low=1), place)
    return SolverDefinition(cast("Kind", raw["task"]), raw["use"], raw["label"], seeds, parameters)


def _figure(raw: Any, where: str) -> FigureDefinition:
    place = f"{where}, [figure]"
    _check_type(raw, dict, "figure", where)
    _check_keys(raw, ("x", "panels", "y"), (), place)
    _check_choice(raw["x"], _AXES, "x", place)
    _check_choice(raw["panels"], (*_AXES, "task"), "panels", place)
    _check_type(raw["y"], list, "y", place)
    for measure in raw["y"]:
        _check_choice(measure, _MEASURES, "y", place)
    return FigureDefinition(raw["x"], raw["panels"], tuple(raw["y"]))


def _grid(raw: Any, where: str, *, required: Iterable[str]) -> dict[str, list[Any]]:
    _check_type(raw, dict, "grid", where)
    _check_keys(raw, tuple(required), tuple(axis for axis in _AXES if axis not in required), where)
    grid: dict[str, list[Any]] = {}
    for axis, values in raw.items():
        if not isinstance(values, list) or not values:
            raise DefinitionError(f"{where}: `{axis}` must be a list with a value; got {values!r}.")
        if axis == "shape":
            pairs = all(isinstance(v, list) and len(v) == 2 and all(_is_positive(d) for d in v) for v in values)
            if not pairs:
                raise DefinitionError(f"{where}: `shape` must be a list of [rows, columns], integers >= 1.")
            grid[axis] = [tuple(value) for value in values]
        elif not all(_is_positive(value) for value in values):
            raise DefinitionError(f"{where}: `{axis}` must be a list of integers >= 1; got {values!r}.")
        else:
            grid[axis] = list(values)
    return grid


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _tables(raw: Any, key: str, where: str) -> list[dict[str, Any]]:
    if not isinstance(raw, list) or not raw or not all(isinstance(entry, dict) for entry in raw):
        raise DefinitionError(f"{where}: `{key}` must be one or more tables [[{key}]].")
    return raw


def _check_keys(raw: dict[str, Any], required: tuple[str, ...], optional: tuple[str, ...], where: str) -> None:
    for key in raw:
        if key not in required and key not in optional:
            raise DefinitionError(f"{where}: unknown key `{key}`; allowed are {', '.join(required + optional)}.")
    for key in required:
        if key not in raw:
            raise DefinitionError(f"{where}: the key `{key}` is missing. Add it.")


def _check_type(value: Any, kind: type, key: str, where: str) -> None:
    if not isinstance(value, kind):
        raise DefinitionError(f"{where}: `{key}` must be a {kind.__name__}; got {value!r}.")


def _check_choice(value: Any, allowed: tuple[str, ...], key: str, where: str) -> None:
    if value not in allowed:
        raise DefinitionError(f"{where}: `{key}` must be one of {', '.join(allowed)}; got {value!r}.")


def _wrap(check: Any, where: str) -> Any:
    try:
        return check()
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{where}: {error}") from error
