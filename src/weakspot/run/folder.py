"""A run folder: the settings of a run, and links with readable names to its current results in the store.

run/
  run.json                       settings, targets, and the key of each result
  store/                         the results (see :mod:`weakspot.run.store`), unless --store names another folder
  collect, train, ...            links to the current results
  synthesize/t-minus, ...        the same for each target
  report.html, report.json
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from weakspot.errors import RunError, StorageError
from weakspot.run.records import decode_checked, decode_record, write_record
from weakspot.system.files import (
    LONGEST_STEM,
    TEMPORARY,
    cannot_write,
    make_folder,
    raise_unless_damage,
    refuse_links,
    remove_temporary,
    storage_errors,
    temporary_files,
    unreadable,
)
from weakspot.system.locks import waiting_lock
from weakspot.system.provenance import digest

SCHEMA = 1
RECORD, STORE, LOCK = "run.json", "store", ".lock"
MARKER = "store.json"
"""The file that marks a folder as a store."""
OLD_LAYOUT_FILES = ("manifest.json", "config.json")
"""Files of run folders of the earlier layout."""


@dataclass(frozen=True)
class ShownResult:
    """A result that the run shows.

    Attributes:
        key: of the result in the store.
        links: name in the run folder to a file of the result, or to ``.``, the folder of the result.
    """

    key: str
    links: dict[str, str]


@dataclass(frozen=True)
class RunRecord:
    """What ``run.json`` holds.

    Attributes:
        schema: version of these fields.
        store: path of the store, relative to the run folder, or absolute.
        command: the command that repeats the run.
        settings: of the run, as plain data.
        targets: slug of each target to its name, in the order given.
        results: the shown results by stage and part, such as ``synthesize/t-minus``.
    """

    schema: int
    store: str
    command: str
    settings: dict[str, Any]
    targets: dict[str, str]
    results: dict[str, ShownResult] = field(default_factory=dict[str, ShownResult])

    @property
    def store_paths(self) -> set[str]:
        """Paths of the results in the store, such as ``train/0123456789abcdef``."""
        return {f"{name.partition('/')[0]}/{shown.key}" for name, shown in self.results.items()}


@dataclass(frozen=True)
class RunFolder:
    """The run folder at ``path``."""

    path: Path

    def read(self) -> RunRecord | None:
        """The record; None if the folder is new.

        Raises:
            SchemaError: a newer version of weakspot wrote it.
            RunError: it is damaged, of the earlier layout, or the folder is not a run folder.
        """
        path = self.path / RECORD
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise self._not_a_run(RECORD)
        except (FileNotFoundError, NotADirectoryError):
            self._check_unused()
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            return _checked(decode_record(path, path.read_bytes(), RunRecord, SCHEMA, "--output"))
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise_unless_damage(path, error)
            raise RunError(
                f"{path} is damaged: {error}",
                expected="a record that weakspot wrote",
                todo=f"delete {path} and run the same command again; finished results are found in the store",
            ) from error

    def store(self, record: RunRecord) -> Path:
        """The path of the store."""
        return self.path / record.store

    def write(self, record: RunRecord) -> None:
        """Writes the record, brings the links up to date, and registers the run with its store.

        Raises:
            RunError: a file or folder has the name of a link.
            StorageError: the folder cannot be written.
        """
        make_folder(self.path)
        with waiting_lock(self.path / LOCK, lambda: None):
            self._write(record)

    def _write(self, record: RunRecord) -> None:
        before = self.read()
        shown = before.store_paths if before else set[str]()
        register(self.store(record), self.path, shown | registered(self.store(record), self.path) | record.store_paths)
        for path in (self.path / name for name in (RECORD, *self._links(record), *self._links(before))):
            remove_temporary(path.parent, path.name)
        write_record(self.path / RECORD, record)
        register(self.store(record), self.path, record.store_paths)
        now = self._links(record)
        stale = set(self._links(before)) - set(now)
        with storage_errors(self.path):
            for name in stale:
                self._unlink(self.path / name)
            for name, destination in now.items():
                self._link(self.path / name, destination)

    def protect(self, record: RunRecord, others: Iterable[str] = ()) -> None:
        """Registers results with the store, which protects them from deletion: those of ``record``, those that the folder
        shows now, those that are registered already, and the ``others``, as ``stage/key``.

        Raises:
            StorageError: the store cannot be written.
        """
        make_folder(self.path)
        with waiting_lock(self.path / LOCK, lambda: None):
            before, store = self.read(), self.store(record)
            shown = before.store_paths if before and self.store(before) == store else set[str]()
            register(store, self.path, shown | registered(store, self.path) | record.store_paths | set(others))

    def shows(self, record: RunRecord) -> bool:
        """Whether the folder, its links and its registration with the store are up to date with the record, and nothing of
        an interrupted write is left of them."""
        written = (self.path / RECORD, registration_file(self.store(record), self.path))
        return (
            self.read() == record
            and written[1].is_file()
            and not any(temporary_files(path.parent, path.name) for path in written)
            and self._has_links(record)
        )

    def keeps(self, record: RunRecord) -> bool:
        """Whether the folder cannot be written, but shows the results of the record: a finished run on a read-only disk,
        whose settings may name another path of the same folder."""
        earlier = self.read()
        return (
            earlier is not None
            and (earlier.results, earlier.targets) == (record.results, record.targets)
            and self._has_links(record)
            and not os.access(self.path, os.W_OK)
        )

    def _has_links(self, record: RunRecord) -> bool:
        return all(
            (self.path / name).is_symlink() and os.readlink(self.path / name) == self._target(self.path / name, where)
            for name, where in self._links(record).items()
        )

    def _links(self, record: RunRecord | None) -> dict[str, Path]:
        """The destination of each link, by its name; none without a record."""
        if record is None:
            return {}
        store = self.store(record)
        destinations: dict[str, Path] = {}
        for name, shown in record.results.items():
            folder = store / name.partition("/")[0] / shown.key
            destinations |= {link: folder / file for link, file in shown.links.items()}
        return destinations

    def _link(self, link: Path, destination: Path) -> None:
        target = self._target(link, destination)
        if link.is_symlink() and os.readlink(link) == target:
            return
        if (link.exists() or link.is_symlink()) and not _is_own_link(link):
            raise RunError(
                f"{link} exists already, and is not a link that weakspot made",
                expected="an unused name",
                todo="move it elsewhere, or choose another --output",
            )
        refuse_links(self.path, link.parent)
        link.parent.mkdir(parents=True, exist_ok=True)
        temporary = link.with_name(f".{link.name[:LONGEST_STEM]}.{os.getpid()}{TEMPORARY}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(link)

    def _target(self, link: Path, destination: Path) -> str:
        """The text of the link: a relative path if the store is inside the run folder, so that both can be moved."""
        inside = Path(os.path.abspath(destination)).is_relative_to(os.path.abspath(self.path))
        return os.path.relpath(destination, link.parent) if inside else os.path.abspath(destination)

    def _unlink(self, link: Path) -> None:
        if link.is_symlink():
            link.unlink()
        if link.parent != self.path and link.parent.is_dir() and not any(link.parent.iterdir()):
            link.parent.rmdir()

    def _check_unused(self) -> None:
        """Raises :class:`RunError` unless the folder is new, empty, or contains only a store."""
        try:
            names = {path.name for path in self.path.iterdir()}
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"cannot use {self.path}: {error.strerror}", expected="a folder", todo="choose another --output"
            ) from error
        if names.issuperset(OLD_LAYOUT_FILES):
            raise RunError(
                f"{self.path} is a run folder of the earlier layout ({', '.join(OLD_LAYOUT_FILES)})",
                expected=f"a folder with {RECORD}, or a new one",
                todo="choose another --output; the old results cannot be converted, but report.html stays readable",
            )
        others = sorted(name for name in names - {STORE, LOCK} if not _is_temporary(name, RECORD))
        if others := [name for name in others if not _only_links(self.path / name)]:
            raise self._not_a_run(", ".join(others[:4]))

    def _not_a_run(self, names: str) -> RunError:
        return RunError(
            f"{self.path} is not a run folder: it contains {names}",
            expected="a new or empty folder, or one that weakspot made",
            todo="choose another --output",
        )


@dataclass(frozen=True)
class Registration:
    """A run that uses a store: its path, and the results that it shows or is about to show, as ``stage/key``."""

    run: str
    results: list[str]


def check_store(store: Path) -> None:
    """Raises :class:`RunError` if ``store`` holds anything but a store: it must be new, empty, marked as a store, or, if
    the mark is lost, hold nothing but results, locks and registrations.

    Raises:
        StorageError: the folder cannot be read.
    """
    marker = store / MARKER
    try:
        if stat.S_ISREG(marker.lstat().st_mode):
            return
        names = {MARKER}
    except FileNotFoundError:
        names = _names(store)
    except OSError as error:
        raise cannot_write(store, error.errno or errno.EIO) from error
    known = (name for name in names if _is_temporary(name, MARKER) or _is_part_of_a_store(store / name))
    if others := sorted(names - {LOCK} - set(known)):
        raise RunError(
            f"{store} is not a store: it contains {', '.join(others[:4])}",
            expected="a new or empty folder, or a store that weakspot made",
            todo="choose another --store, or another --output if the store is inside it",
        )


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise cannot_write(folder, error.errno or errno.EIO) from error


def _is_temporary(name: str, target: str) -> bool:
    """Whether a name is that of a temporary file of an interrupted write of ``target``."""
    return name.startswith(f".{target}.") and name.endswith(TEMPORARY)


PARTS_OF_A_STORE = {
    "runs": re.compile(r"\.?[0-9a-f]{16}\.json(\.\w+\.tmp)?"),
    "locks": re.compile(r"\.?[a-z-]+-[0-9a-f]{16}\.(lock|seconds)(\.\w+\.tmp)?"),
}
"""Names of the files in these folders of a store."""
RESULT = re.compile(r"[0-9a-f]{16}(\.damaged-\d+)?")
"""Names of the folders of results, which all other folders of a store contain."""


def _is_part_of_a_store(path: Path) -> bool:
    """Whether a folder contains nothing but what a store has in a folder of that name."""
    if path.is_symlink() or not path.is_dir():
        return False
    return all(PARTS_OF_A_STORE.get(path.name, RESULT).fullmatch(entry.name) for entry in path.iterdir())


def _mark(store: Path) -> None:
    """Marks a folder as a store, before anything else is written there."""
    check_store(store)
    make_folder(store)
    if not (store / MARKER).exists():
        with waiting_lock(store / LOCK, lambda: None):
            check_store(store)
            remove_temporary(store)
            write_record(store / MARKER, StoreMarker(SCHEMA))


@dataclass(frozen=True)
class StoreMarker:
    """What ``store.json`` holds: the version of the store's layout."""

    schema: int


def register(store: Path, run: Path, results: set[str]) -> None:
    """Registers the results that a run uses with the store, which protects them from deletion.

    Raises:
        RunError: the folder is not a store.
        StorageError: the store cannot be written.
    """
    _mark(store)
    path = registration_file(store, run)
    refuse_links(store, path)
    make_folder(path.parent)
    remove_temporary(path.parent, path.name)
    write_record(path, Registration(_recorded_path(store, run), sorted(results)))


def registered(store: Path, run: Path) -> set[str]:
    """The results that are registered for a run; none if its registration is missing or damaged."""
    try:
        return set(decode_checked(registration_file(store, run).read_bytes(), Registration).results)
    except (OSError, msgspec.DecodeError, RecursionError):
        return set()


def registration_file(store: Path, run: Path) -> Path:
    """The file of the registration of a run in the store."""
    return store / "runs" / f"{digest(_recorded_path(store, run))}.json"


def _recorded_path(store: Path, run: Path) -> str:
    """The path of a run as its store records it: ``..`` if the store is inside the run, so that both can be moved."""
    where = os.path.abspath(run)
    return ".." if Path(where) == Path(os.path.abspath(store)).parent else where


def registrations(store: Path) -> dict[Path, Registration]:
    """The registrations of all runs that use a store, by their files.

    Raises:
        RunError: a file is damaged.
    """
    by_file: dict[Path, Registration] = {}
    for path in sorted((store / "runs").glob("*.json")):
        try:
            by_file[path] = decode_checked(path.read_bytes(), Registration)
        except (OSError, msgspec.DecodeError, RecursionError) as error:
            raise_unless_damage(path, error)
            raise RunError(
                f"{path} is damaged: {error}",
                expected="a run and the results it shows",
                todo="repeat the command of that run, which writes the file again, or delete the file",
            ) from error
    return by_file


KEY = re.compile(r"[0-9a-f]{16}")
"""Keys of results."""


def _checked(record: RunRecord) -> RunRecord:
    """The record; raises :class:`msgspec.ValidationError` if it names anything outside the run folder and its store."""
    for name, shown in record.results.items():
        for path in (name, *shown.links, *shown.links.values()):
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise msgspec.ValidationError(f"it names the path {path!r}")
        if not KEY.fullmatch(shown.key):
            raise msgspec.ValidationError(f"it names the key {shown.key!r}")
    return record


def _is_own_link(path: Path) -> bool:
    """Whether a path is a link to a result, as a run folder shows them."""
    if not path.is_symlink():
        return False
    destination = Path(os.readlink(path))
    return any(KEY.fullmatch(name) for name in (destination.name, destination.parent.name))


def _only_links(path: Path) -> bool:
    """Whether a name is a link to a result, or a folder of such links."""
    if path.is_symlink():
        return _is_own_link(path)
    return path.is_dir() and all(_is_own_link(entry) for entry in path.iterdir())


def used_by(registration: Registration, store: Path) -> tuple[set[str], bool]:
    """The results that a registered run uses, as ``stage/key``, and whether the run is still at its path."""
    path = store / registration.run
    record = RunFolder(path).read() if (path / RECORD).is_file() else None
    return set(registration.results) | (record.store_paths if record else set[str]()), record is not None
