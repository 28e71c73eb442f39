"""The command line: `qinspired compare` and `qinspired reproduce`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from qinspired import __version__
from qinspired._validation import check_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.figure import Figure

__all__ = ["main"]

_OK, _FAILED, _BAD_INPUT, _INTERRUPTED = 0, 1, 2, 130

_REPORT = Path("qinspired-report.html")

# What bad input raises: files, arguments, definitions, missing extras, data too large for memory.
_INPUT_ERRORS = (ValueError, TypeError, IndexError, OSError, ImportError, MemoryError)


class _UsageError(Exception):
    """A command line that argparse refuses."""


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing its usage and leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}. See `{self.prog} --help`.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        0 if all went well, 1 if a promised tolerance was not met, 2 for bad input, 130 if interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        options = _parser().parse_args(arguments)
    except _UsageError as error:
        return _complain(error, _BAD_INPUT)
    except SystemExit as finished:  # --help and --version
        return int(finished.code or 0)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except KeyboardInterrupt:
        return _complain("interrupted; nothing more was written.", _INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has gone
        sys.stderr.close()
        return _OK
    except _INPUT_ERRORS as error:
        if options.debug:
            raise
        return _complain(error, _BAD_INPUT)


def _complain(error: Exception | str, code: int) -> int:
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"the data does not fit into memory ({text}). Give a smaller file or a smaller --scale."
    sys.stderr.write(f"qinspired: {_one_line(text)}\n")
    return code


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="qinspired",
        description="Quantum-inspired (dequantized) algorithms beside exact, randomized and quantum solvers.",
        epilog="Exit codes: 0 all well, 1 a promised tolerance was not met, 2 bad input, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"qinspired {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_compare(commands)
    _add_reproduce(commands)
    return parser


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="run every solver on real data at the same asked accuracy",
        description=(
            "Run exact, iterative, randomized and sampled solvers at the same asked accuracy, on real ratings "
            "and regressions from qinspired[data], or on a file of yours; print one table for each task with "
            "times, true and certified errors and verdicts, and write an HTML report."
        ),
    )
    compare.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="ratings (user, item, value) or a matrix: .csv .tsv .parquet .npy .npz",
    )
    compare.add_argument(
        "--target",
        metavar="COLUMN",
        help="solve a regression: the column of FILE to predict, by name, index (-1 is the last) or 'last'",
    )
    compare.add_argument(
        "--rank", type=int, help="rank of the low-rank approximation (default 10, less if FILE is small)"
    )
    compare.add_argument("--tolerance", type=float, default=0.05, help="accuracy asked of every solver (default 0.05)")
    compare.add_argument(
        "--repeats", type=int, default=3, help="timed runs of each solver; the median counts (default 3)"
    )
    compare.add_argument(
        "--quantum",
        action="store_true",
        help="project the costs of quantum solvers too, in a table of their own, and what would flip the verdict",
    )
    compare.add_argument(
        "--answer",
        choices=("vector", "sample", "prediction"),
        help="what --quantum reads from the solution (default vector)",
    )
    compare.add_argument("--format", choices=("text", "markdown"), default="text", help="of the tables")
    compare.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    compare.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help=f"where to write the HTML report (default {_REPORT}; none with --json)",
    )
    compare.add_argument("--no-report", action="store_true", help="write no HTML report")
    _add_common(compare)
    compare.set_defaults(command=_compare)


def _add_reproduce(commands: Any) -> None:
    reproduce = commands.add_parser(
        "reproduce",
        help="run a sweep over generated problems",
        description=(
            "Run a sweep over generated problems, print its tables, and write records.jsonl, figure.svg and figure.png."
        ),
    )
    reproduce.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="a name from --list, or a .toml file")
    reproduce.add_argument("--list", action="store_true", help="print the shipped experiments")
    reproduce.add_argument(
        "--output", type=Path, metavar="DIR", help="folder to write to (default reproduce-EXPERIMENT)"
    )
    reproduce.add_argument("--quick", action="store_true", help="run the small grid of the definition")
    reproduce.add_argument("--scale", type=int, default=1, help="factor on both dimensions of every matrix (default 1)")
    reproduce.add_argument("--format", choices=("text", "markdown"), default="text", help="of the tables")
    reproduce.add_argument("--json", action="store_true", help="print the records as JSON lines instead of tables")
    _add_common(reproduce)
    reproduce.set_defaults(command=_reproduce)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of all randomness (default 0)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _compare(options: argparse.Namespace) -> int:
    from qinspired import experiments
    from qinspired.experiments._verdicts import promise_broken

    check_count(options.seed, "--seed")
    check_count(options.repeats, "--repeats", low=1)
    if options.no_report and options.output is not None:
        raise ValueError("`--output` must not be given with `--no-report`. Drop one.")
    if options.answer is not None and not options.quantum:
        raise ValueError("`--answer` must be given with `--quantum`, whose output it is. Add it.")
    quantum: Any = (options.answer or "vector") if options.quantum else None
    output = options.output or (None if options.json else _REPORT)
    if options.no_report:
        output = None
    if output is not None:
        _check_file(output)
    if options.file is None:
        if options.target is not None:
            raise ValueError("`--target` needs a FILE to take the column from. Give its path.")
        tasks = experiments.shipped_tasks(rank=options.rank, tolerance=options.tolerance)
    else:
        tasks = [
            experiments.file_task(options.file, target=options.target, rank=options.rank, tolerance=options.tolerance)
        ]
    facts = experiments.machine()
    with _progress() as tell:
        reports = experiments.compare(tasks, repeats=options.repeats, seed=options.seed, progress=tell, quantum=quantum)
    if options.json:
        document = experiments.compare_document(reports, facts=facts, seed=options.seed, repeats=options.repeats)
        sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write(experiments.compare_text(reports, facts=facts, seed=options.seed, style=options.format))
    if output is not None:
        # After the tables: they must not wait for, or fail with, a library that only the figures need.
        sys.stdout.flush()
        output.write_text(experiments.html_report(reports, facts=facts, seed=options.seed), encoding="utf-8")
        if not options.json:
            sys.stdout.write(f"\nReport: {output}\n")
    broken = [name for r in reports for name in promise_broken(r.outcomes, r.task.tolerance)]
    if broken:
        return _complain(f"the promised tolerance was not met by {', '.join(broken)}; see the table.", _FAILED)
    return _OK


def _reproduce(options: argparse.Namespace) -> int:
    from qinspired import experiments

    check_count(options.seed, "--seed")
    check_count(options.scale, "--scale", low=1)
    if options.list:
        for name, title in experiments.list_definitions().items():
            sys.stdout.write(f"{name:<12} {title}\n")
        return _OK
    if options.experiment is None:
        known = ", ".join(experiments.list_definitions())
        raise ValueError(f"`EXPERIMENT` is missing; give one of {known}, or the path of a .toml file.")
    definition = experiments.load_definition(options.experiment)
    folder = options.output or Path(f"reproduce-{definition.name}")
    _check_folder(folder)
    facts = experiments.machine()
    records = []
    with _progress() as tell, (folder / "records.jsonl").open("w", encoding="utf-8") as lines:
        for record in experiments.sweep(
            definition, quick=options.quick, scale=options.scale, seed=options.seed, progress=tell
        ):
            records.append(record)
            line = experiments.json_line(record) + "\n"
            lines.write(line)
            if options.json:
                sys.stdout.write(line)
    if not options.json:
        tables = experiments.sweep_tables(definition, records)
        parts = [
            definition.description,
            *(experiments.render_table(table, options.format) for table in tables),
        ]
        parts.append(f"{experiments.machine_line(facts)}; seed {options.seed}")
        parts.extend([experiments.busy_note(facts)] if experiments.busy_note(facts) else [])
        sys.stdout.write("\n\n".join(parts) + f"\n\nRecords: {folder / 'records.jsonl'}\n")
        sys.stdout.flush()
    written = _save_figure(experiments.sweep_figure(definition, records), folder)
    if not options.json:
        sys.stdout.write(f"Figure: {' and '.join(str(path) for path in written)}\n")
    broken = experiments.broken_promises(records)
    if broken:
        return _complain(f"the promised tolerance was not met by {'; '.join(broken)}.", _FAILED)
    return _OK


def _save_figure(figure: Figure, folder: Path) -> list[Path]:
    paths = [folder / "figure.svg", folder / "figure.png"]
    for path in paths:
        figure.savefig(path, dpi=150)
    return paths


def _check_file(path: Path) -> None:
    """Refuse a place that cannot be written to before the long run, not after it."""
    if path.is_dir():
        raise ValueError(f"`--output` must be a file; {path} is a directory. Add a file name.")
    if not path.parent.is_dir():
        raise ValueError(f"`--output` must be in an existing directory; {path.parent} is none. Make it first.")


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`--output` must be a directory; {folder} is a file. Give another path.")
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Yield what shows the current step on a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    with tqdm(bar_format="{desc} [{elapsed}]", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False) as bar:

        def tell(text: str) -> None:
            bar.set_description_str(_one_line(text))

        yield tell


if __name__ == "__main__":
    sys.exit(main())
