"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib import import_module, metadata
from typing import Any

import numpy as np

from qinspired import __version__

__all__ = ["busy_note", "machine", "machine_line", "versions"]

# Load for each core from which other work disturbs timings.
_BUSY = 0.75


def versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the libraries that do the work."""
    found = {"qinspired": __version__, "python": platform.python_version()}
    for name in ("numpy", "scipy", "scikit-learn", "numba"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Return versions, BLAS and its threads, cores, load of the last minute, processor and operating system."""
    blas, threads = _blas()
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        usable = os.cpu_count() or 1
    try:
        load = round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # not on Windows
        load = None
    return {
        "versions": versions(),
        "blas": blas,
        "blas_threads": threads,
        "cores": usable,
        "load": load,
        "processor": platform.machine(),
        "system": platform.system(),
    }


def machine_line(facts: dict[str, Any]) -> str:
    """Return the facts of `machine` in one line."""
    libraries = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    threads = facts["blas_threads"]
    how_many = "unknown number of threads" if threads is None else f"{threads} thread{'s' * (threads != 1)}"
    cores = facts["cores"]
    return (
        f"{libraries}; BLAS {facts['blas']} ({how_many}); {cores} core{'s' * (cores != 1)}, "
        f"{facts['processor']}, {facts['system']}"
    )


def busy_note(facts: dict[str, Any]) -> str:
    """Return a warning if other work kept the machine busy when the facts were taken, else ""."""
    load, cores = facts["load"], facts["cores"]
    if load is None or load <= _BUSY * cores:
        return ""
    return (
        f"The machine was busy before the run began (load {load:g} on {cores} core{'s' * (cores != 1)}): these times, "
        "above all those of code on several threads, are not to be relied on."
    )


def _blas() -> tuple[str, int | None]:
    try:
        threadpool_info = import_module("threadpoolctl").threadpool_info
    except ImportError:
        pass
    else:
        pools = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
        if pools:
            name = f"{pools[0].get('internal_api')} {pools[0].get('version')}"
            return name, max(int(pool.get("num_threads", 1)) for pool in pools)
    config: Any = np.show_config(mode="dicts")
    built = config.get("Build Dependencies", {}).get("blas", {}) if isinstance(config, dict) else {}
    return f"{built.get('name', 'unknown')} {built.get('version', '')}".strip(), None
