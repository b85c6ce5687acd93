"""A table of what users give the scripts, and what they are told: one case, one run of the real script."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

LONGEST_LINE = 1000  # characters


@dataclass(frozen=True)
class Case:
    """A run of a script and what must come of it.

    Attributes:
        name: what is odd about the input.
        prepare: puts the input into an empty folder.
        command: script and flags, from the project's root; ``{tmp}`` stands for that folder.
        says: words that its error line (code 2), or else its output and warnings, must hold; ``{tmp}`` as above.
        code: exit code.
        writes: patterns of the files below the folder that it may make, change or remove; all others stay as they were.
        leaves: files that must be there afterwards.
        silent_on: words that must not be said.
    """

    name: str
    prepare: Callable[[Path], object]
    command: str
    says: tuple[str, ...]
    code: int = 2
    writes: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    silent_on: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


def check(case: Case, script: Callable[..., subprocess.CompletedProcess], folder: Path) -> None:
    """Run a case and compare."""
    case.prepare(folder)
    before = _snapshot(folder)
    name, *flags = (word.replace("{tmp}", str(folder)) for word in case.command.split())
    done = script(name, *flags, code=case.code)
    assert "Traceback" not in done.stderr
    told = done.stdout + done.stderr
    if case.code == 2:
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, done.stderr
        assert done.stderr.splitlines()[-1] == errors[0], "the error comes last"
        told = errors[0]
        assert len(told) <= LONGEST_LINE
    for words in case.says:
        assert words.replace("{tmp}", str(folder)) in told
    for words in case.silent_on:
        assert words not in done.stdout + done.stderr
    unknown = {flag for flag in re.findall(r"(?<![\w-])--[a-z]\w*", done.stderr) if flag not in _help(name, script)}
    assert not unknown, f"flags that {name} lacks: {unknown}"
    after = _snapshot(folder)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not [path for path in changed if not any(fnmatch(path, pattern) for pattern in case.writes)]
    for path in case.leaves:
        assert (folder / path).exists(), path


def _snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file below a folder with its content, links with where they lead; empty folders do not count."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@cache
def _help(name: str, script: Callable[..., subprocess.CompletedProcess]) -> str:
    return "" if name.endswith(".sh") else script(name, "--help").stdout
