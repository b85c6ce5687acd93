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
from castsearch.stagefiles.locks import hold
from castsearch.stagefiles.machine import Machine
from castsearch.stagefiles.reading import load, read
from castsearch.stagefiles.writing import (
    PortablePickler,
    atomic_write,
    check_output,
    check_target,
    read_metadata,
    write,
)

RAN = "ran"  # under which metadata tell what ran
Run = dict[str, str]  # one thing that ran: its engine, device and the like


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
        update: turns what an earlier version of this project recorded into today's words, before it is compared.
        ran: what runs to make the entry that is added, in words, where that is known; never compared. The metadata tell
            under ``RAN`` of all that ran to make what the file holds, in earlier runs too.
        detail: what else a key's entry is made from, in words; others make it anew.

    Attributes:
        content: the entries that there are.
        todo: the keys that have none yet.

    Raises:
        StageFileError: another run is at work on the file, or there is no writing there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        depends: Mapping[str, Any],
        keys: Sequence[str],
        sources: Callable[[str], Iterable[Path]],
        notes: Mapping[str, Any] | None = None,
        update: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
        ran: Callable[[], Mapping[str, str] | None] = lambda: None,
        detail: Callable[[str], str] = lambda key: "",
    ) -> None:
        self.path = check_target(path)
        self.depends = json.loads(json.dumps(depends))  # as a later run will read them: tuples are lists there
        self.notes = dict(notes or {})
        self._update, self._running = update, ran
        self._ran: dict[str, list[Run]] = {}  # what may have run to make each entry
        real = cache(os.path.realpath)  # of the few folders that hold the sources
        # Now: what is replaced in mid-run must differ.
        self._stamps = {key: _stamp(sources(key), detail(key), real) for key in keys}
        self._log_path = check_output(self.path.with_name(f"{self.path.name}.partial"))
        self._log: BinaryIO | None = None
        self._earlier_log = self._hold_log()
        self._bad: dict[str, str] = {}
        entries = self._finished() | self._logged()
        self.content: dict[str, Any] = {key: entries[key] for key in keys if key in entries}
        self.todo = [key for key in keys if key not in entries]

    def _hold_log(self) -> BinaryIO | None:
        """An earlier run's log, so that nobody else works on it; None where there is none."""
        try:
            log = self._log_path.open("r+b" if os.access(self._log_path, os.W_OK) else "rb")
        except OSError:
            return None
        return self._held(log)

    def _held(self, log: BinaryIO) -> BinaryIO:
        if not hold(log):
            log.close()
            raise StageFileError(f"{self.path}: another run is at work on it; wait until that has ended")
        return log

    def _begin_log(self) -> BinaryIO:
        """A log of the entries that count: those found stale must not come back in the next run."""
        if self._earlier_log is None:
            self._earlier_log = self._hold_log()  # of a run that began when this one did, and was quicker
        with atomic_write(self._log_path) as log:
            PortablePickler(log, protocol=4).dump(self.depends)
            for known in self.content.keys() - self._bad.keys():
                self._record(log, known)
        return self._held(self._log_path.open("ab"))

    def _depended_on_the_same(self, recorded: object) -> bool:
        return isinstance(recorded, dict) and self._update(recorded) == self.depends

    def _unchanged(self, key: object, stamp: object) -> bool:
        return stamp is not None and key in self._stamps and self._stamps[key] == stamp

    def _finished(self) -> dict[str, Any]:
        """The entries of the stage file that count."""
        try:
            metadata = read_metadata(self.path)
            stamps, bad = (_object(metadata.pop(name, None)) for name in ("sources", "bad"))
            ran = runs([metadata.pop(RAN, None)])
            if not self._depended_on_the_same({k: v for k, v in metadata.items() if k not in self.notes}):
                return {}
            entries = read(self.path)
        except StageFileError:
            return {}  # absent or damaged: this run will replace it
        kept = {k: v for k, v in entries.items() if k not in bad and self._unchanged(k, stamps.get(k))}
        self._ran |= dict.fromkeys(kept, ran)
        return kept

    def _logged(self) -> dict[str, Any]:
        """The entries of a killed run that count."""
        entries: dict[str, Any] = {}
        if self._earlier_log is None:
            return entries
        try:
            machine = Machine(self._earlier_log)
            if not self._depended_on_the_same(load(machine)):
                return entries
            while True:
                key, stamp, value, *ran = load(machine)  # earlier versions did not tell what ran
                if self._unchanged(key, stamp):
                    entries[key] = value
                    self._ran[key] = runs(ran[:1])
        except (OSError, Refused, TypeError, ValueError):  # the end, a last entry cut short by the kill, another's file
            return entries

    def add(self, key: str, value: Any, bad: str | None = None) -> None:
        """Keep an entry.

        Args:
            key: one of ``todo``, or one whose entry this replaces.
            value: what the file will hold.
            bad: why its source could not be read, where ``value`` only fills the place: the next run tries again.
        """
        if bad is not None:
            self.content[key] = value
            self._bad[key] = bad
            return
        if self._log is None:
            self._log = self._begin_log()
        self.content[key] = value
        running = self._running()
        self._ran[key] = [] if running is None else [dict(running)]
        self._record(self._log, key)
        self._log.flush()

    def _record(self, log: BinaryIO, key: str) -> None:
        PortablePickler(log, protocol=4).dump((key, self._stamps[key], self.content[key], self._ran[key]))

    def finish(self) -> None:
        """Write the stage file and remove the partial one."""
        metadata = {**self.notes, **self.depends, "sources": self._stamps}
        if self._bad:
            metadata["bad"] = self._bad
        if ran := runs(self._ran[key] for key in self._stamps if key not in self._bad):
            metadata[RAN] = ran
        write(self.path, {key: self.content[key] for key in self._stamps}, metadata)
        self._log_path.unlink(missing_ok=True)
        for log in (self._log, self._earlier_log):
            if log is not None:
                log.close()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def runs(told: Iterable[object]) -> list[Run]:
    """What ran, each once, in their order, of what several metadata tell under ``RAN``; anything else is left out."""
    lists = (part for part in told if isinstance(part, list))
    found = (run for part in lists for run in part if isinstance(run, dict) and _is_text([*run, *run.values()]))
    return list({tuple(sorted(run.items())): run for run in found}.values())


def _is_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _stamp(sources: Iterable[Path], detail: str, real: Callable[[Path], str]) -> str | None:
    """Stands for the places, sizes and times of change of files, and more; None where one cannot be found."""
    digest = hashlib.blake2b(detail.encode(errors="surrogatepass"), digest_size=16)
    for source in sources:
        try:
            found = source.stat()
        except OSError:
            return None
        name = f"{real(source.parent)}/{source.name}"
        digest.update(f"{name}/{found.st_size}/{found.st_mtime_ns}/".encode(errors="surrogatepass"))
    return digest.hexdigest()
