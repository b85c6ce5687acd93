"""Long stages go on where they were killed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from castsearch.stagefiles.admitted import Refused
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.machine import Machine
from castsearch.stagefiles.reading import load, read
from castsearch.stagefiles.writing import PortablePickler, atomic_write, check_target, read_metadata, write


class Resumable:
    """The dict of a long stage, kept entry by entry, so that a killed run goes on where it was.

    Entries are appended to ``{path}.partial``, and ``finish`` turns them into the stage file. An entry of an earlier
    run, killed or finished, counts if that run depended on the same and the entry's sources are the same files still:
    as many, in the same places, of the sizes and times of change that they had before that run read them. Any other
    time is a change, an earlier one too: an old picture may be put in the place of a new one.

    Args:
        path: the stage file.
        depends: what all entries depend on (weights' SHA-256, settings, the root of the sources); JSON can hold it.
        keys: entries that the file will hold, in its order.
        sources: the files that a key's entry is made from. One that is not there makes the entry anew each run.
        notes: what else the metadata shall tell; never compared.

    Attributes:
        content: the entries that there are.
        todo: the keys that have none yet.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        depends: Mapping[str, Any],
        keys: Sequence[str],
        sources: Callable[[str], Iterable[Path]],
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = check_target(path)
        self.depends = json.loads(json.dumps(depends))  # as a later run will read them: tuples are lists there
        self.notes = dict(notes or {})
        real = cache(os.path.realpath)  # of the few folders that hold the sources
        self._stamps = {key: _stamp(sources(key), real) for key in keys}  # now: what is replaced in mid-run must differ
        self._log_path = self.path.with_name(f"{self.path.name}.partial")
        self._log: BinaryIO | None = None
        self._bad: dict[str, str] = {}
        entries = self._finished() | self._logged()
        self.content: dict[str, Any] = {key: entries[key] for key in keys if key in entries}
        self.todo = [key for key in keys if key not in entries]

    def _unchanged(self, key: object, stamp: object) -> bool:
        return stamp is not None and key in self._stamps and self._stamps[key] == stamp

    def _finished(self) -> dict[str, Any]:
        """The entries of the stage file that count."""
        try:
            metadata = read_metadata(self.path)
            stamps, bad = (_object(metadata.pop(name, None)) for name in ("sources", "bad"))
            if {name: value for name, value in metadata.items() if name not in self.notes} != self.depends:
                return {}
            entries = read(self.path)
        except StageFileError:
            return {}  # absent or damaged: this run will replace it
        return {k: v for k, v in entries.items() if k not in bad and self._unchanged(k, stamps.get(k))}

    def _logged(self) -> dict[str, Any]:
        """The entries of a killed run that count."""
        entries: dict[str, Any] = {}
        try:
            with self._log_path.open("rb") as log:
                machine = Machine(log)
                if load(machine) != self.depends:
                    return entries
                while True:
                    key, stamp, value = load(machine)
                    if self._unchanged(key, stamp):
                        entries[key] = value
        except (OSError, Refused, TypeError, ValueError):  # the end, a last entry cut short by the kill, another's file
            return entries

    def add(self, key: str, value: Any, bad: str | None = None) -> None:
        """Keep an entry.

        Args:
            key: one of ``todo``.
            value: what the file will hold.
            bad: why its source could not be read, where ``value`` only fills the place: the next run tries again.
        """
        if bad is not None:
            self.content[key] = value
            self._bad[key] = bad
            return
        if self._log is None:
            # Entries found stale must not come back in the next run: begin with those that count.
            with atomic_write(self._log_path) as log:
                PortablePickler(log, protocol=4).dump(self.depends)
                for known in self.content.keys() - self._bad.keys():
                    self._record(log, known)
            self._log = self._log_path.open("ab")
        self.content[key] = value
        self._record(self._log, key)
        self._log.flush()

    def _record(self, log: BinaryIO, key: str) -> None:
        PortablePickler(log, protocol=4).dump((key, self._stamps[key], self.content[key]))

    def finish(self) -> None:
        """Write the stage file and remove the partial one."""
        metadata = {**self.notes, **self.depends, "sources": self._stamps}
        if self._bad:
            metadata["bad"] = self._bad
        write(self.path, {key: self.content[key] for key in self._stamps}, metadata)
        if self._log is not None:
            self._log.close()
        self._log_path.unlink(missing_ok=True)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _stamp(sources: Iterable[Path], real: Callable[[Path], str]) -> str | None:
    """Stands for the places, sizes and times of change of files; None where one cannot be found."""
    digest = hashlib.blake2b(digest_size=16)
    for source in sources:
        try:
            found = source.stat()
        except OSError:
            return None
        name = f"{real(source.parent)}/{source.name}"
        digest.update(f"{name}/{found.st_size}/{found.st_mtime_ns}/".encode(errors="surrogatepass"))
    return digest.hexdigest()
