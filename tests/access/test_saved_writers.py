from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.sparse as sp
from saved_files import KINDS, NEW, OLD, assert_tidy, both_kinds, dense, flip, part_file, use_all
from zoo import QUARTERS

import qinspired as qi
from qinspired.exceptions import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("_without_waiting_for_the_disk")


@contextmanager
def without_rights() -> Iterator[Path]:
    """Give a folder in which the rights of files bind this process, the superuser's too."""
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        qi.save(folder / "A", OLD)
        use_all(folder / "A")  # loads the compiled kernels, whose cache may be closed to a process without rights
        shutil.rmtree(folder / "A")
        folder.chmod(0o777)
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            for left in folder.rglob("*"):
                left.chmod(0o777)
            os.seteuid(user)


def test_a_matrix_without_permission_to_read_is_an_os_error_with_the_path() -> None:
    with without_rights() as folder:
        qi.save(folder / "A", OLD)
        for part in ("data", "checksums", "header"):
            file = part_file(folder / "A", part)
            file.chmod(0)
            with pytest.raises(PermissionError, match=str(file)):
                qi.open(folder / "A")
            file.chmod(0o600)
        (folder / "A").chmod(0)
        with pytest.raises(PermissionError, match=str(folder / "A")):
            qi.open(folder / "A")
        (folder / "A").chmod(0o700)


def test_a_read_only_directory_opens_and_cannot_be_saved_to() -> None:
    with without_rights() as folder:
        qi.save(folder / "A", OLD)
        for file in (folder / "A").iterdir():
            file.chmod(0o400)
        (folder / "A").chmod(0o500)
        use_all(folder / "A")
        with pytest.raises(PermissionError, match=str(folder / "A")):
            qi.save(folder / "A", NEW)
        np.testing.assert_array_equal(dense(qi.open(folder / "A")), OLD)
        folder_of = folder / "closed"
        folder_of.mkdir(mode=0o500)
        with pytest.raises(PermissionError, match=str(folder_of / "B")):
            qi.save(folder_of / "B", NEW)


def test_a_matrix_larger_than_the_disk_is_refused_before_a_row_is_read(tmp_path: Path) -> None:
    class Unread(qi.RowStorage):
        def _read_rows(self, rows: Any) -> Any:
            pytest.fail(f"{rows} were read")

    with pytest.raises(OSError, match=rf"the matrix needs 8e\+18 bytes, but .* are free: '{tmp_path}/A'"):
        qi.save(tmp_path / "A", Unread((10, 10**17), np.float64, norms=np.ones(10)))
    assert list(tmp_path.iterdir()) == []


CALLS = ("open", "mkdir", "pwrite", "fsync", "replace", "ftruncate", "close")


class Faults:
    """Count the calls that save makes to the system; at one of them fail, after it took effect or before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException, *, after: bool) -> None:
        self.count, self.at, self.error, self.after = 0, at, error, after
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count != self.at:
                return real(*args, **kwargs)
            if self.after and real.__name__ not in {"open"}:  # a file opened and never heard of would stay open
                real(*args, **kwargs)
            raise self.error

        return call


@both_kinds
@pytest.mark.parametrize("is_first", [True, False], ids=["first save", "overwriting"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["disk", "key"])
def test_a_fault_at_any_call_leaves_the_old_matrix_or_the_new_one_and_no_other_file(
    kind: str, is_first: bool, after: bool, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, build = tmp_path / "A", KINDS[kind]
    seen, at, done = set(), 0, False
    while not done:
        at += 1
        assert at < 100
        if folder.exists():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        if not is_first:
            qi.save(folder, build(OLD))
        raised: BaseException | None
        with monkeypatch.context() as patches:
            faults = Faults(patches, at, error, after=after)
            try:
                qi.save(folder, build(NEW))
            except (OSError, KeyboardInterrupt) as found:
                raised = found
            else:
                raised, done = None, faults.count < at
        assert raised in {error, None}
        if isinstance(raised, OSError):
            assert str(tmp_path) in str(raised)
            raised.filename = None
        if is_first and not (folder / "header.json").exists():
            assert not folder.exists()
            seen.add("nothing")
            continue
        assert_tidy(folder)
        values = dense(qi.open(folder, verify="all"))
        is_new = np.array_equal(values, NEW)
        assert is_new or (not is_first and np.array_equal(values, OLD))
        seen.add("new" if is_new else "old")
    assert seen == {"nothing" if is_first else "old", "new"}
    assert at > 20


def test_a_row_function_that_fails_midway_leaves_the_old_matrix(tmp_path: Path) -> None:
    class Failing(qi.RowStorage):
        error: BaseException | None = None

        def _read_rows(self, rows: Any) -> Any:
            if self.error is not None and rows[-1] > 150_000:
                raise self.error
            return np.ones((len(rows), 10))

    A = Failing((200_000, 10), np.float64)
    for error in (RuntimeError("no row"), KeyboardInterrupt(), MemoryError(), SystemExit()):
        A.error = error
        with pytest.raises(type(error)):
            qi.save(tmp_path / "B", A)
        assert not (tmp_path / "B").exists()
    qi.save(tmp_path / "A", OLD)
    with pytest.raises(SystemExit):
        qi.save(tmp_path / "A", A)
    assert_tidy(tmp_path / "A")
    np.testing.assert_array_equal(dense(qi.open(tmp_path / "A", verify="all")), OLD)


def test_a_system_that_writes_a_few_bytes_at_a_time_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, real_read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda descriptor, content, place: real_write(descriptor, content[:7], place))
    monkeypatch.setattr(os, "pread", lambda descriptor, count, place: real_read(descriptor, min(count, 11), place))
    qi.save(tmp_path / "A", sp.csr_array(QUARTERS))
    np.testing.assert_array_equal(dense(qi.open(tmp_path / "A", verify="all")), QUARTERS)


def test_everything_is_on_the_disk_before_the_header_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, str]] = []
    real_sync, real_replace, real_unlink = os.fsync, os.replace, os.unlink

    def sync(descriptor: int) -> None:
        real_sync(descriptor)
        events.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name.partition("-")[0]))

    def swap(source: Any, target: Any) -> None:
        real_replace(source, target)
        events.append(("replace", Path(target).name))

    def unlink(path: Any, **kwargs: Any) -> None:
        real_unlink(path, **kwargs)
        events.append(("unlink", Path(path).name.partition("-")[0]))

    qi.save(tmp_path / "A", sp.csr_array(OLD))
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", swap)
    monkeypatch.setattr(os, "unlink", unlink)
    qi.save(tmp_path / "A", sp.csr_array(NEW))
    parts = {"data", "indices", "indptr", "norms", "checksums"}
    step = events.index(("replace", "header.json"))
    assert set(events[: step - 1]) == {("sync", part) for part in parts | {"header"}}
    assert events[step - 1] == ("sync", "A")
    assert events[step + 1] == ("sync", "A")
    assert sorted(events[step + 2 :]) == sorted(("unlink", part) for part in parts | {".lock"})


# One process that forks writers, each of which kills itself with signal 9 at another call to the system.
KILLED = """
import os, signal, sys
import numpy as np
import qinspired as qi

folder, first, calls = sys.argv[1], sys.argv[2] == "first", sys.argv[3].split(",")
OLD, NEW = np.arange(12.0).reshape(3, 4), np.arange(12.0)[::-1].reshape(3, 4)
os.fsync = lambda descriptor: None
qi.save(folder + "/warm", OLD)
names, at, ended = [], 0, False
while not ended:
    at += 1
    path = f"{folder}/{at}" if first else folder + "/A"
    if not first:
        qi.save(path, OLD)
    child = os.fork()
    if child == 0:
        count = 0
        def killing(real):
            def call(*args, **kwargs):
                global count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)
            return call
        for name in calls:
            setattr(os, name, killing(getattr(os, name)))
        qi.save(path, NEW)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    ended = not os.WIFSIGNALED(status)
    try:
        A = qi.open(path, verify="all").rows([0, 1, 2])
        found = "new" if (A == NEW).all() else "old" if (A == OLD).all() else "torn"
    except (FileNotFoundError, qi.exceptions.CorruptFileError) as error:
        found = type(error).__name__
    qi.save(path, OLD)
    left = sorted(name.partition("-")[0] for name in os.listdir(path))
    assert left == ["checksums", "data", "header.json", "norms"], left
    assert (qi.open(path, verify="all").rows([0, 1, 2]) == OLD).all()
    names.append(found)
print(*names)
"""


@pytest.mark.parametrize("state", ["first", "overwriting"])
def test_a_writer_killed_at_any_call_leaves_a_readable_path(state: str, tmp_path: Path) -> None:
    calls = ",".join((*CALLS, "unlink"))
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), state, calls], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = run.stdout.split()
    assert len(found) >= 20
    assert found[-1] == "new"  # nothing killed the last one
    allowed = {"new", "FileNotFoundError", "CorruptFileError"} if state == "first" else {"old", "new"}
    assert set(found) == allowed
    before = found.index("new")
    assert set(found[before:]) == {"new"}


HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1] + "/.lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.write(descriptor, str(os.getpid()).encode())
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_writer_is_told_the_process_and_a_dead_writer_stops_nobody(tmp_path: Path) -> None:
    qi.save(tmp_path / "A", OLD)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "A")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError, match=rf"process {holder.pid} is saving a matrix there.*{tmp_path}/A"):
            qi.save(tmp_path / "A", NEW)
        np.testing.assert_array_equal(dense(qi.open(tmp_path / "A")), OLD)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / "A" / ".lock").exists()
    qi.save(tmp_path / "A", NEW)
    assert_tidy(tmp_path / "A")


class Waiting(qi.RowStorage):
    """Gives its rows to a save only when it may go on."""

    def __init__(self, X: np.ndarray) -> None:
        self.X, self.is_reached, self.may_go_on = X, threading.Event(), threading.Event()
        self.may_go_on.set()
        super().__init__(X.shape, X.dtype)
        self.may_go_on.clear()
        self.is_reached.clear()

    def _read_rows(self, rows: Any) -> Any:
        self.is_reached.set()
        assert self.may_go_on.wait(60)
        return self.X[rows]


@pytest.mark.parametrize("is_first", [True, False], ids=["first save", "overwriting"])
def test_of_two_writers_in_one_process_the_second_is_refused_and_the_first_ends(is_first: bool, tmp_path: Path) -> None:
    if not is_first:
        qi.save(tmp_path / "A", OLD)
    slow = Waiting(NEW)
    thread = threading.Thread(target=qi.save, args=(tmp_path / "A", slow))
    thread.start()
    assert slow.is_reached.wait(60)
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()} is saving"):
        qi.save(tmp_path / "A", np.eye(2))
    if is_first:
        with pytest.raises(CorruptFileError, match="a matrix whose saving was interrupted"):
            qi.open(tmp_path / "A")
    else:
        np.testing.assert_array_equal(dense(qi.open(tmp_path / "A", verify="all")), OLD)
    slow.may_go_on.set()
    thread.join()
    np.testing.assert_array_equal(dense(qi.open(tmp_path / "A", verify="all")), NEW)
    assert_tidy(tmp_path / "A")


def test_readers_during_writes_see_one_matrix_or_the_other(tmp_path: Path) -> None:
    matrices = {0.0: np.full((9, 12), 0.0), 1.0: np.full((9, 12), 1.0)}
    qi.save(tmp_path / "A", matrices[0.0])
    problems: list[BaseException] = []

    def write() -> None:
        try:
            for turn in range(40):
                qi.save(tmp_path / "A", matrices[float(turn % 2)])
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    held, n_reads = qi.open(tmp_path / "A", verify="none"), 0
    first = dense(held)
    while thread.is_alive() or n_reads < 10:
        found = dense(qi.open(tmp_path / "A"))
        np.testing.assert_array_equal(found, matrices[found[0, 0]])
        n_reads += 1
    thread.join()
    assert problems == []
    np.testing.assert_array_equal(dense(held), first)


def test_a_reader_whose_parts_are_swept_away_reads_the_new_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qinspired.access.saved import _reading as _saved

    qi.save(tmp_path / "A", OLD)
    real, turns = _saved.read_header, []

    def read(folder: Path) -> bytes:
        raw = real(folder)
        if not turns:
            turns.append(1)
            qi.save(folder, NEW)  # between the header and the parts
        return raw

    monkeypatch.setattr(_saved, "read_header", read)
    np.testing.assert_array_equal(dense(qi.open(tmp_path / "A")), NEW)


@both_kinds
def test_threads_may_check_the_same_chunks_at_once(kind: str, long_matrix: np.ndarray, tmp_path: Path) -> None:
    qi.save(tmp_path / "A", KINDS[kind](long_matrix))
    A, problems = qi.open(tmp_path / "A"), []
    start = threading.Barrier(4)

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        start.wait(60)
        for _ in range(30):
            rows = rng.integers(0, 5000, 20)
            block = A.rows(rows)
            if not np.array_equal(block.toarray() if sp.issparse(block) else block, long_matrix[rows]):
                problems.append(rows)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_no_file_stays_open_after_the_matrix_is_gone(tmp_path: Path) -> None:
    def opened() -> list[str]:
        links = [file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
        return [str(link) for link in links if tmp_path in link.parents]

    qi.save(tmp_path / "A", OLD)
    assert opened() == []
    A = qi.open(tmp_path / "A")
    assert opened()
    del A
    assert opened() == []
    flip(part_file(tmp_path / "A", "norms"), 3)
    with pytest.raises(CorruptFileError):
        qi.open(tmp_path / "A")
    assert opened() == []
