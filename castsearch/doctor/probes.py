"""Processes of their own for what may be broken: it may end them, hang, or print what it likes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import castsearch

TREE = Path(castsearch.__file__).parents[1]  # what holds the library that scripts take

# Modules come from where scripts take them, and not from the folder in which the doctor is called.
_BEGIN = """
import sys
sys.path[0] = sys.argv.pop(1)
import importlib, json, os
told = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def tell(**words):
    print(json.dumps(words), file=told, flush=True)
"""


def told(code: str, words: Sequence[str], patience: float) -> tuple[list[dict[str, Any]], str]:
    """What a process tells, and how it ended.

    Args:
        code: of Python, which calls ``tell``.
        words: its arguments, from ``sys.argv[1]`` on.
        patience: seconds that it may take.
    """
    command = [sys.executable, "-c", _BEGIN + code, str(TREE), *words]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=patience, text=True, errors="replace"
        )
        text, ended = done.stdout, f"ends the process that loads it (exit code {done.returncode})"
    except subprocess.TimeoutExpired as error:
        text = (error.stdout or b"").decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        ended = f"does not load within {patience} seconds"
    except OSError as error:
        text, ended = "", f"cannot be tried ({error.strerror})"
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")], ended
