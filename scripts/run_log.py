"""What a script tells of its run: lines for people, and lines of JSON for programs.

Each line of ``--log_file`` is an object with ``time`` (UTC), ``run`` (one for all stages of a whole run), ``stage``
(the script), ``pid``, ``event`` and ``peak_memory`` (bytes); the rest is the event's:

begin   ``command``: the arguments
note    ``message``, and what it says: ``file``, ``kept`` of its entries, ``of`` how many
movie   ``movie``, ``counts``, ``seconds``
end     ``code``, ``seconds``, ``cpu_seconds``; ``counts`` of the stage, its ``files`` with their SHA-256, and what
        their metadata tell: ``ran`` (engine, device, precision), ``made_with`` (SHA-256 of networks); or ``error``
"""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from castsearch.errors import CastSearchError
from castsearch.journal import FACTS, LOGGER
from castsearch.paths import shortened
from castsearch.stagefiles import RAN, file_sha256, read_metadata

LOG_FILE, RUN = "CASTSEARCH_LOG_FILE", "CASTSEARCH_RUN"  # by which a whole run tells its stages where and which
_START = b'{"time": '  # what logs begin with
_MADE_WITH = ("detector", "embedder", "sha256")  # fields of metadata with digests of networks


Warn = Callable[[str], None]


class LogFileError(CastSearchError):
    """A log file that cannot be written, or another file in its place."""


class JsonLines(logging.Handler):
    """Appends each record with facts to a file, at once and whole, so that several processes may share it."""

    def __init__(self, path: Path, stage: str, warn: Warn) -> None:
        super().__init__(logging.DEBUG)
        self._head = {"run": os.environ.get(RUN) or f"{os.getpid()}-{int(time.time())}", "stage": stage}
        self.path, self._begun, self._failed, self._warn = path, time.perf_counter(), False, warn
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._cut = _is_cut_short(path)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise LogFileError(
                f"{shortened(path)}: cannot be written ({error.strerror}); choose another file"
            ) from None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record: a movie, or a note."""
        facts: Mapping[str, Any] | None = getattr(record, FACTS, None)
        if facts is None:
            return
        if "movie" in facts:
            self.write("movie", facts)
        else:
            self.write("note", {"message": record.getMessage(), **facts})

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append a line; that there is no room stops no work."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": now, **self._head, "pid": os.getpid(), "event": event, "peak_memory": _peak_memory(), **facts}
        data = (json.dumps(line, ensure_ascii=False, default=str) + "\n").encode(errors="replace")
        data = b"\n" * self._cut + data  # no part of what a full disk cut short
        try:
            written, why = os.write(self._file, data), os.strerror(errno.ENOSPC)
        except OSError as error:
            written, why = 0, error.strerror
        self._cut = self._cut if written == 0 else written < len(data)
        if written < len(data) and not self._failed:
            self._warn(f"{self.path}: cannot be written ({why})")
            self._failed = True

    def end(self, code: int, error: str | None, counts: Mapping[str, int], files: Iterable[Path]) -> None:
        """Append the line of the end."""
        facts: dict[str, Any] = {"code": code, "seconds": round(time.perf_counter() - self._begun, 3)}
        facts["cpu_seconds"] = round(sum(map(_cpu_seconds, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))), 3)
        if error is not None:
            self.write("end", facts | {"error": error})
        else:
            self.write("end", facts | {"counts": dict(counts)} | _of_files(files))


def _is_cut_short(path: Path) -> bool:
    """Whether the last line of a log lacks its end.

    Raises:
        LogFileError: there is a file that is no log.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(len(_START))
        if not _START.startswith(start):
            raise LogFileError(f"{shortened(path)}: there is a file that is no log; choose another file")
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        return file.read() not in (b"", b"\n")


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _cpu_seconds(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _of_files(files: Iterable[Path]) -> dict[str, Any]:
    """What files hold, and what their metadata tell of what made them."""
    told: dict[str, Any] = {"files": {}, "made_with": {}, RAN: []}
    for file in files:
        told["files"][str(file)] = file_sha256(file)
        metadata = read_metadata(file) if file.suffix == ".pkl" else {}
        told["made_with"] |= {field: metadata[field] for field in _MADE_WITH if field in metadata}
        told[RAN] += [run for run in metadata.get(RAN) or () if run not in told[RAN]]
    return {field: value for field, value in told.items() if value}


class Lines(logging.Handler):
    """Shows records on the standard output: notes, and with ``verbose`` what is done movie by movie."""

    def __init__(self, quiet: bool, verbose: bool) -> None:
        super().__init__(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        print(record.getMessage(), flush=True)


def begin(path: Path | None, stage: str, quiet: bool, verbose: bool, warn: Warn) -> JsonLines | None:
    """Send what the library tells to where the flags say.

    Args:
        path: of the log file; by default what the environment says, or none.
        stage: the script's name.
        quiet, verbose: how much is shown.
        warn: is told, once, that the file cannot be written to any more.

    Raises:
        LogFileError: the file cannot be written.
    """
    path = path or (Path(told) if (told := os.environ.get(LOG_FILE)) else None)
    lines = JsonLines(path, stage, warn) if path is not None else None
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    LOGGER.handlers = [Lines(quiet, verbose), *([lines] if lines else [])]
    if lines is not None:
        lines.write("begin", {"command": sys.argv[1:]})
    return lines
