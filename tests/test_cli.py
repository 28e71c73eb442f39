from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp

from qinspired import __version__, cli, datasets, experiments
from qinspired.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable


def matrix(m: int = 60, n: int = 12) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal((m, n)) + 1.0


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def npy(tmp_path: Path) -> str:
    np.save(tmp_path / "A.npy", matrix())
    return str(tmp_path / "A.npy")


def save(path: Path, rows: np.ndarray[Any, Any], header: str = "") -> str:
    lines = [",".join(f"{value:.6f}" for value in row) for row in rows]
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return str(path)


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Run a command line that must be refused with one line, and return the line."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("qinspired: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


def test_a_npy_matrix_gives_the_low_rank_table_and_a_report(npy: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["compare", npy, "--repeats", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "A.npy (60 x 12): rank-6 approximation to within 5 %" in out
    assert "The rank is 6 instead of 10" in out
    assert "fastest that meets 5 %" in out
    assert "<svg" in Path("qinspired-report.html").read_text(encoding="utf-8")


def test_a_sparse_npz_gives_the_low_rank_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sp.save_npz(tmp_path / "A.npz", sp.csr_array(np.where(matrix() > 1.5, matrix(), 0.0)))
    assert main(["compare", str(tmp_path / "A.npz"), "--no-report", "--rank", "2", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "stored entries): rank-2 approximation" in out
    assert not Path("qinspired-report.html").exists()


def test_a_csv_with_a_target_gives_the_regression_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save(tmp_path / "t.csv", matrix(80, 4), "a,b,c,price")
    assert main(["compare", file, "--target", "price", "--no-report", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "t.csv (80 x 3): least squares" in out
    assert "Target: column 3, 'price'." in out
    assert "qinspired least_squares, kaczmarz" in out


def test_ratings_in_tsv_give_recommendations_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(1)
    lines = [f"u{i}\ti{j}\t{generator.integers(1, 6)}" for i in range(40) for j in generator.choice(25, 9, False)]
    (tmp_path / "r.tsv").write_text("\n".join(lines) + "\n")
    assert main(["compare", str(tmp_path / "r.tsv"), "--no-report", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "SampledRecommender" in out
    assert "best unseen items" in out


def test_json_is_one_document_and_writes_no_report_unless_asked(npy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", npy, "--json", "--repeats", "1", "--seed", "4"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["seed"] == 4
    assert document["tasks"][0]["shape"] == [60, 12]
    assert list(Path().glob("*.html")) == []


def test_markdown_tables_have_a_rule(npy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", npy, "--no-report", "--format", "markdown", "--repeats", "1"]) == 0
    assert "| -: | " in capsys.readouterr().out


def test_without_a_file_the_shipped_data_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    dense = np.where(generator.random((40, 30)) < 0.4, generator.integers(1, 6, (40, 30)), 0)
    ratings = datasets.Ratings(sp.csr_array(dense.astype(float)), np.arange(40), np.arange(30), "tiny ratings", "")
    regression = datasets.Regression(matrix(60, 3), matrix(60, 1)[:, 0], ("a", "b", "c"), "tiny regression", "")
    monkeypatch.setattr(datasets, "load_insteval", lambda: ratings)
    monkeypatch.setattr(datasets, "load_diamonds", lambda: regression)
    monkeypatch.setattr(datasets, "load_diabetes", lambda: regression)
    assert main(["compare", "--no-report", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    assert "tiny ratings (40 x 30, " in out
    assert out.count("tiny regression (60 x 3)") == 2


def test_a_promise_that_is_not_kept_ends_with_exit_code_1(
    npy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from qinspired.experiments import _compare

    monkeypatch.setattr(_compare, "true_error", lambda *_: 0.5)
    assert main(["compare", npy, "--no-report", "--repeats", "1"]) == 1
    out, err = capsys.readouterr()
    assert "misses 5 %" in out
    assert err == "qinspired: the promised tolerance was not met by qinspired low_rank, auto; see the table.\n"


BROKEN_ARRAYS: dict[str, Callable[[], Any]] = {
    "nan": lambda: np.array([[1.0, np.nan], [1.0, 2.0]]),
    "infinity": lambda: np.array([[1.0, np.inf], [1.0, 2.0]]),
    "one dimension": lambda: np.ones(5),
    "no rows": lambda: np.ones((0, 4)),
    "complex": lambda: np.ones((3, 3)) * 1j,
    "objects": lambda: np.array([[1, "a"], [None, 2]], dtype=object),
    "zeros": lambda: np.zeros((4, 4)),
}


@pytest.mark.parametrize("kind", BROKEN_ARRAYS)
def test_a_broken_matrix_is_refused_with_one_line(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "bad.npy", BROKEN_ARRAYS[kind](), allow_pickle=True)
    assert "bad.npy" in fails(capsys, "compare", str(tmp_path / "bad.npy"))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "empty.csv"),
        (b"1,2,3\n4,5\n", "ragged.csv"),
        (b"1.5,2.5\n3.5,nan\n", "nan.csv"),
        (b"not a numpy file", "bad.npy"),
        (b"PK\x03\x04 cut", "bad.npz"),
        (b"\xff\xfe\x00\x01", "binary.csv"),
        (b"user,item,rating\n1,2,x\n", "ratings.csv"),
    ],
)
def test_a_malformed_file_is_refused_with_one_line(
    content: bytes, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert name in fails(capsys, "compare", str(tmp_path / name))


def test_missing_files_and_directories_are_refused_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no such file" in fails(capsys, "compare", "nowhere.csv")
    assert "directory" in fails(capsys, "compare", str(tmp_path))
    assert "no such file" in fails(capsys, "reproduce", "nowhere.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rank", "13"], "`--rank` must be in [1, min(m, n)] = [1, 12]"),
        (["--rank", "0"], "`--rank` must be in"),
        (["--rank", "two"], "--rank: invalid int value"),
        (["--tolerance", "0"], "`--tolerance` must be in (0, 1)"),
        (["--tolerance", "nan"], "`--tolerance` must be in (0, 1)"),
        (["--repeats", "0"], "`--repeats` must be an integer >= 1"),
        (["--seed", "-1"], "`--seed` must be an integer >= 0"),
        (["--target", "12"], "`--target` must be in [-12, 11]"),
        (["--target", "price"], "`--target` must be a column name, an index or 'last'"),
        (["--target", "-1", "--rank", "2"], "must not be given with `--target`"),
        (["--output", "nowhere/report.html"], "`--output` must be in an existing directory"),
        (["--output", "."], "`--output` must be a file"),
        (["--output", "r.html", "--no-report"], "must not be given with `--no-report`"),
        (["--format", "latex"], "invalid choice"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_one_line(
    arguments: list[str], message: str, npy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(capsys, "compare", npy, *arguments)


def test_a_target_needs_a_dense_matrix_and_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sp.save_npz(tmp_path / "A.npz", sp.csr_array(matrix()))
    assert "needs a dense matrix" in fails(capsys, "compare", str(tmp_path / "A.npz"), "--target", "last")
    assert "`--target` needs a FILE" in fails(capsys, "compare", "--target", "last")


def test_an_unknown_command_or_experiment_is_refused_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "invalid choice" in fails(capsys, "plan")
    assert "COMMAND" in fails(capsys)
    assert "`EXPERIMENT` must be one of rank-kappa, size" in fails(capsys, "reproduce", "magic")
    assert "`EXPERIMENT` is missing" in fails(capsys, "reproduce")
    assert "`--scale` must be an integer >= 1" in fails(capsys, "reproduce", "size", "--scale", "0")


def test_debug_shows_the_error_itself(npy: str) -> None:
    with pytest.raises(ValueError, match="--rank"):
        main(["compare", npy, "--rank", "99", "--debug"])


def test_an_interruption_ends_with_one_line_and_130(
    npy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiments, "compare", interrupt)
    assert main(["compare", npy]) == 130
    assert capsys.readouterr().err == "qinspired: interrupted; nothing more was written.\n"


def test_version_and_help_succeed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"qinspired {__version__}\n"
    for command in ([], ["compare"], ["reproduce"]):
        assert main([*command, "--help"]) == 0
    assert "compare" in capsys.readouterr().out


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "qinspired", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("qinspired ")


def hide_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_matplotlib_the_tables_are_printed_and_the_remedy_named(
    npy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide_matplotlib(monkeypatch)
    assert main(["compare", npy, "--repeats", "1"]) == 2
    out, err = capsys.readouterr()
    assert "fastest that meets 5 %" in out
    assert err.count("\n") == 1
    assert 'pip install "qinspired[plot]"' in err
    assert not Path("qinspired-report.html").exists()
    assert main(["compare", npy, "--repeats", "1", "--no-report"]) == 0


def test_reproduce_writes_records_and_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["reproduce", "rank-kappa", "--quick"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "HHL (simulator, not quantum time): what a quantum computer would have to do" in out
    folder = Path("reproduce-rank-kappa")
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4 * (1 + 3 + 1 + 1 + 8 + 1)
    assert {json.loads(line)["status"] for line in lines} == {"ok"}
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder / "figure.svg").read_text(encoding="utf-8")


def test_reproduce_lists_its_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["rank-kappa", "size"]


def test_reproduce_refuses_a_file_as_its_folder(npy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a file" in fails(capsys, "reproduce", "size", "--quick", "--output", npy)


def test_nothing_is_shown_of_progress_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with cli._progress() as tell:
        tell("working")
    assert capsys.readouterr().err == ""


def test_quantum_solvers_are_projected_in_a_table_of_their_own(
    npy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--no-report", "--repeats", "1", "--quantum"]
    assert main(["compare", npy, *options, "--answer", "sample"]) == 0
    out = capsys.readouterr().out
    assert out.index("fastest that meets") < out.index("PROJECTED, not measured: one column, drawn by the squares")
    assert "What would flip it:" in out
    wide = save(tmp_path / "wide.csv", matrix(8, 30))
    assert main(["compare", wide, *options, "--target", "last", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tasks"][0]["quantum"]
    assert found["answer"] == "vector"
    assert found["costs"]["shape"] == [8, 29]
    sp.save_npz(tmp_path / "A.npz", sp.csr_array(np.where(matrix() > 1.5, matrix(), 0.0)))
    assert main(["compare", str(tmp_path / "A.npz"), *options, "--rank", "2", "--format", "markdown"]) == 0
    assert "| quantum recommender" in capsys.readouterr().out


def test_singular_data_are_compared_and_the_missing_projection_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "one.npy", np.outer(np.arange(1.0, 31.0), np.arange(1.0, 9.0)))
    code = main(["compare", str(tmp_path / "one.npy"), "--rank", "2", "--no-report", "--repeats", "1", "--quantum"])
    assert code == 0
    assert "nothing is projected; the matrix has a rank below `--rank` 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--answer", "sample"], "`--answer` must be given with `--quantum`"),
        (["--quantum", "--answer", "matrix"], "invalid choice"),
        (["--quantum", "--tolerance", "1"], "`--tolerance` must be in (0, 1)"),
        (["--quantum", "--rank", "0"], "`--rank` must be in"),
    ],
)
def test_a_projection_is_asked_for_in_range(
    arguments: list[str], message: str, npy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(capsys, "compare", npy, *arguments)
    assert "no such file" in fails(capsys, "compare", "nowhere.csv", "--quantum")
