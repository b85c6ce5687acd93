"""Long stages go on where they were killed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from weakref import finalize

from castsearch.journal import tell
from castsearch.paths import open_plain
from castsearch.stagefiles.admitted import Refused
from castsearch.stagefiles.current import say_current, say_kept, stamp
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.locks import alone
from castsearch.stagefiles.machine import Machine
from castsearch.stagefiles.reading import load, read
from castsearch.stagefiles.writing import (
    PortablePickler,
    atomic_write,
    check_output,
    check_target,
    metadata_path,
    not_written,
    read_metadata,
    remove_leftovers,
    write,
)

RAN = "ran"  # under which metadata tell what ran
TOLD = "told"  # under which metadata keep what was odd
Run = dict[str, str]  # one thing that ran: its engine, device and the like


class Resumable:
    """The dict of a long stage, kept entry by entry, so that a killed run goes on where it was.

    Entries are appended to ``{path}.partial``, and ``finish`` turns them into the stage file. An entry of an earlier
    run, killed or finished, counts if that run depended on the same and the entry's sources are the same files still:
    as many, in the same places, of the sizes and times of change that they had before that run read them. Any other
    time is a change, an earlier one too: an old picture may be put in the place of a new one.

    No other run works on the stage file before this one is finished, or gone.

    Args:
        path: the stage file.
        depends: what all entries depend on (weights' SHA-256, settings, the root of the sources); JSON can hold it.
        keys: entries that the file will hold, in its order.
        sources: the files that a key's entry is made from. One that is not there makes the entry anew each run.
        notes: what else the metadata shall tell; never compared. Under ``RAN`` they tell of all that ran.
        update: turns what an earlier version of this project recorded into today's words, before it is compared.
        ran: what runs to make the entry that is added, in words, where that is known; never compared. The metadata tell
            under ``RAN`` of all that ran to make what the file holds, in earlier runs too.
        detail: what else a key's entry is made from, in words; others make it anew.
        outputs: further files that are written for a key before its entry is added; the entry counts while they are the
            same, as sources are.
        overwrite: no entry of an earlier run counts.

    Attributes:
        content: the entries that there are.
        todo: the keys that have none yet.
        told: what was odd about an entry, as JSON has it, by key; the metadata keep it under ``TOLD``.

    Raises:
        BusyError: another run is at work on the file.
        StageFileError: there is no writing there.
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
        outputs: Callable[[str], Iterable[Path]] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = check_target(path)
        self._log_path = check_output(self.path.with_name(f"{self.path.name}.partial"))
        self._alone = ExitStack()
        self._alone.enter_context(alone(self.path))
        finalize(self, self._alone.close)
        remove_leftovers(self.path, metadata_path(self.path), self._log_path)
        self.depends = json.loads(json.dumps(depends))  # as a later run will read them: tuples are lists there
        self.notes = dict(notes or {})
        self._update, self._running = update, ran
        self._ran: dict[str, list[Run]] = {}  # what may have run to make each entry
        self._real = cache(os.path.realpath)  # of the few folders that hold the files
        # Now: what is replaced in mid-run must differ.
        self._stamps = {key: stamp(sources(key), detail(key), self._real) for key in keys}
        self._outputs = outputs
        self._written: dict[str, str | None] = {}  # stamps of the outputs
        self._log: BinaryIO | None = None
        self._bad: dict[str, str] = {}
        self.told: dict[str, Any] = {}
        self._recorded: dict[str, Any] | None = None  # metadata of a file that holds what this run would write
        finished, logged = ({}, {}) if overwrite else (self._finished(), self._logged())
        entries = finished | logged
        self.content: dict[str, Any] = {key: entries[key] for key in keys if key in entries}
        self.todo = [key for key in keys if key not in entries]
        if self.todo or logged or list(finished) != list(keys):
            self._recorded = None
        self._tell(overwrite)

    def _tell(self, overwrite: bool) -> None:
        """Tell how much of an earlier run counts."""
        kept = len(self.content)
        if self._recorded is not None:
            say_current(self.path)
        elif kept:
            say_kept(self.path, kept, len(self._stamps))
        elif self.path.exists() and not overwrite:
            tell(f"{self.path}: was made otherwise, all is done anew", file=str(self.path))

    def _begin_log(self) -> BinaryIO:
        """A log of the entries that count: those found stale must not come back in the next run."""
        with atomic_write(self._log_path) as log:
            PortablePickler(log, protocol=4).dump(self.depends)
            for known in self.content.keys() - self._bad.keys():
                self._record(log, known)
        return self._log_path.open("ab")

    def _depended_on_the_same(self, recorded: object) -> bool:
        return isinstance(recorded, dict) and self._update(recorded) == self.depends

    def _unchanged(self, key: object, stamped: object, written: object) -> bool:
        """Whether an entry was made from the files that are there now, and what was written for it is there still."""
        if stamped is None or key not in self._stamps or self._stamps[key] != stamped:  # type: ignore[index]
            return False
        if self._outputs is None:
            return True
        self._written[key] = stamp(self._outputs(key), "", self._real)  # type: ignore[index, arg-type]
        return written is not None and self._written[key] == written  # type: ignore[index]

    def _finished(self) -> dict[str, Any]:
        """The entries of the stage file that count."""
        try:
            metadata = read_metadata(self.path)
            self._recorded = dict(metadata)
            names = ("sources", "bad", "outputs", TOLD)
            stamps, bad, written, told = (_object(metadata.pop(name, None)) for name in names)
            ran = [] if RAN in self.notes else runs([metadata.pop(RAN, None)])
            if not self._depended_on_the_same({k: v for k, v in metadata.items() if k not in self.notes}):
                return {}
            entries = read(self.path)
        except StageFileError:
            return {}  # absent or damaged: this run will replace it
        kept = {k: v for k, v in entries.items() if k not in bad and self._unchanged(k, stamps.get(k), written.get(k))}
        self._ran |= dict.fromkeys(kept, ran)
        self.told |= {key: told[key] for key in kept if key in told}
        return kept

    def _logged(self) -> dict[str, Any]:
        """The entries of a killed run that count."""
        entries: dict[str, Any] = {}
        try:
            with open_plain(self._log_path) as log:
                machine = Machine(log)
                if not self._depended_on_the_same(load(machine)):
                    return entries
                while True:
                    key, stamped, value, *more = load(machine)  # earlier versions told less
                    ran, written, told = [*more, None, None, None][:3]
                    if self._unchanged(key, stamped, written):
                        entries[key] = value
                        self._ran[key] = runs([ran])
                        self.told.pop(key, None)
                        if told is not None:
                            self.told[key] = told
        except (OSError, Refused, TypeError, ValueError):  # the end, a last entry cut short by the kill, another's file
            return entries

    def add(self, key: str, value: Any, bad: str | None = None, told: Any = None) -> None:
        """Keep an entry.

        Args:
            key: one of ``todo``, or one whose entry this replaces.
            value: what the file will hold.
            bad: why its source could not be read, where ``value`` only fills the place: the next run tries again.
            told: what else to keep of it, see ``told``.
        """
        self._recorded = None
        self.told.pop(key, None)
        if told is not None:
            self.told[key] = told
        if bad is not None:
            self.content[key] = value
            self._bad[key] = bad
            return
        if self._outputs is not None:
            self._written[key] = stamp(self._outputs(key), "", self._real)
        if self._log is None:
            self._log = self._begin_log()
        self.content[key] = value
        running = self._running()
        self._ran[key] = [] if running is None else [dict(running)]
        try:
            self._record(self._log, key)
            self._log.flush()
        except OSError as error:
            raise not_written(self._log_path, error) from None

    def _record(self, log: BinaryIO, key: str) -> None:
        entry = key, self._stamps[key], self.content[key], self._ran[key], self._written.get(key), self.told.get(key)
        PortablePickler(log, protocol=4).dump(entry)

    def finish(self) -> None:
        """Write the stage file and remove the partial one; a file that holds all of it already is left as it is."""
        metadata = {**self.notes, **self.depends, "sources": self._stamps}
        if self._bad:
            metadata["bad"] = self._bad
        if self._outputs is not None:
            metadata["outputs"] = {key: self._written[key] for key in self._stamps if key not in self._bad}
        if told := {key: self.told[key] for key in self._stamps if key in self.told}:
            metadata[TOLD] = told
        if ran := runs(self._ran[key] for key in self._stamps if key not in self._bad):
            metadata[RAN] = ran
        if self._recorded is None or self._recorded != json.loads(json.dumps(metadata)):
            write(self.path, {key: self.content[key] for key in self._stamps}, metadata)
        if self._log is not None:
            self._log.close()
        self._log_path.unlink(missing_ok=True)
        self._alone.close()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def runs(told: Iterable[object]) -> list[Run]:
    """What ran, each once, in their order, of what several metadata tell under ``RAN``; anything else is left out."""
    lists = (part for part in told if isinstance(part, list))
    found = (run for part in lists for run in part if isinstance(run, dict) and _is_text([*run, *run.values()]))
    return list({tuple(sorted(run.items())): run for run in found}.values())


def _is_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
