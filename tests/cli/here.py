"""Scripts run in this process: what takes seconds to load is loaded once for a whole table of cases."""

from __future__ import annotations

import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest

from scripts import cli, run_log
from tests.conftest import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


def runs_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """What the fixture ``script`` gives, but without a process of its own."""
    monkeypatch.setattr(cli, "_discard", lambda stream: None)  # it would take pytest's own standard output away
    monkeypatch.chdir(ROOT)

    def run(name: str, *args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / name), *map(str, args)]
        monkeypatch.setattr(sys, "argv", command)
        # What one counts is no matter of the next, nor where it logs of whatever the process does afterwards.
        monkeypatch.setattr(cli, "_run", cli._Run())
        monkeypatch.setattr(run_log.LOGGER, "handlers", [])
        monkeypatch.setattr(sys, "path", [*sys.path])
        capfd.readouterr()
        ended = 0
        with warnings.catch_warnings():
            try:
                runpy.run_path(command[0], run_name="__main__")
            except SystemExit as end:
                ended = int(end.code or 0)
        out, err = capfd.readouterr()
        assert ended == code, f"exit {ended}\n{out}\n{err}"
        return subprocess.CompletedProcess(command, ended, out, err)

    return run
