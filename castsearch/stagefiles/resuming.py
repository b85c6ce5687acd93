"""Long stages go on where they were killed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.reading import SafeUnpickler, read
from castsearch.stagefiles.writing import PortablePickler, atomic_write, read_metadata, write


def last_change(*paths: str | os.PathLike[str]) -> float:
    """When the latest of files changed, in seconds since the epoch; one that is absent always has."""
    try:
        return max((Path(path).stat().st_mtime for path in paths), default=0.0)
    except OSError:
        return math.inf


class Resumable:
    """The dict of a long stage, kept entry by entry, so that a killed run goes on where it was.

    Entries are appended to ``{path}.partial``, and ``finish`` turns them into the stage file. An
    entry of an earlier run counts if that run had the same metadata and the entry's source has not
    changed since; the same holds for the entries of a finished file.

    Args:
        path: the stage file.
        metadata: what the entries depend on (weights, settings).
        keys: entries that the file will hold, in its order.
        changed: when a key's source last changed, in seconds since the epoch.

    Attributes:
        content: the entries that there are.
        todo: the keys that have none yet.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        metadata: Mapping[str, Any],
        keys: Sequence[str],
        changed: Callable[[str], float],
    ) -> None:
        self.path = Path(path)
        self.metadata = dict(metadata)
        self._keys = keys
        self._log_path = self.path.with_name(f"{self.path.name}.partial")
        self._log: BinaryIO | None = None
        self.content: dict[str, Any] = {}
        self._bad: dict[str, str] = {}
        for source, entries in ((self.path, self._finished()), (self._log_path, self._logged())):
            known = [key for key in keys if key in entries]
            written = source.stat().st_mtime if known else 0.0
            self.content.update({key: entries[key] for key in known if changed(key) <= written})
        self.todo = [key for key in keys if key not in self.content]

    def _finished(self) -> dict[str, Any]:
        try:
            metadata = read_metadata(self.path)
            bad = metadata.pop("bad", {})
            entries = read(self.path) if metadata == self.metadata else {}
        except StageFileError:
            return {}  # absent or damaged: this run will replace it
        return {key: value for key, value in entries.items() if key not in bad}

    def _logged(self) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        try:
            with self._log_path.open("rb") as log:
                if SafeUnpickler(log).load() != self.metadata:
                    return entries
                while True:
                    key, value = SafeUnpickler(log).load()
                    entries[key] = value
        except Exception:  # the end, or a last entry cut short by the kill
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
            kept = [record for record in self.content.items() if record[0] not in self._bad]
            with atomic_write(self._log_path) as log:
                for record in (self.metadata, *kept):
                    PortablePickler(log, protocol=4).dump(record)
            self._log = self._log_path.open("ab")
        self.content[key] = value
        PortablePickler(self._log, protocol=4).dump((key, value))
        self._log.flush()

    def finish(self) -> None:
        """Write the stage file and remove the partial one."""
        metadata = self.metadata | ({"bad": self._bad} if self._bad else {})
        write(self.path, {key: self.content[key] for key in self._keys}, metadata)
        if self._log is not None:
            self._log.close()
        self._log_path.unlink(missing_ok=True)
