"""The machine: Python, cores, memory, disk, the BLAS, GPUs and precisions, fonts, a browser."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import castsearch
from castsearch.doctor.probes import told
from castsearch.parallel import core_count

T = TypeVar("T")
U = TypeVar("U")

# A word or name of each script, as a portrait's file may have it.
SCRIPTS = {
    "Latin": "Łukasz Ñandú",
    "Greek": "Αθηνά",
    "Cyrillic": "Сергей",
    "Arabic": "محمد",
    "Hebrew": "דוד",
    "Devanagari": "अमित",
    "Thai": "สมชาย",
    "Chinese": "王伟",
    "Japanese": "さくら",
    "Korean": "김민준",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "firefox")
PATIENCE = 60  # seconds that a look may take

# Takes one of the looks below: what that loads may be broken.
_PROBE = """
from castsearch.doctor import machine
try:
    tell(found=getattr(machine, sys.argv[1])())
except BaseException as error:
    tell(fault=f"{type(error).__name__}: {error}")
"""


@dataclass(frozen=True)
class Machine:
    """What there is to run on; a word in place of a figure tells why it is not known.

    Attributes:
        castsearch, python, system: versions; ``castsearch_at`` and ``python_at`` are where they lie.
        cores: that this process may use.
        memory: bytes that are free, None where the ranking, which looks, does not load.
        disk: free bytes by folder.
        blas: the libraries of matrix products, each with the processor's kernel and its threads.
        gpu: what ONNX networks run on by default.
        precisions: of networks, each with "" or why it does not run here.
        scripts_without_font: in which names would show as boxes.
        browser: for the gallery and its tests, None for none found.
    """

    castsearch: str
    castsearch_at: str
    python: str
    python_at: str
    system: str
    cores: int
    memory: int | None
    disk: Mapping[str, int]
    blas: tuple[str, ...]
    gpu: str
    precisions: Mapping[str, str]
    scripts_without_font: tuple[str, ...] | str
    browser: str | None


def look_at_machine(folders: Sequence[Path]) -> Machine:
    """What there is to run on.

    Args:
        folders: whose disks are looked at, there already or not.
    """
    fonts: list[str] | str = _try(_scripts_without_font, lambda fault: fault)
    return Machine(
        castsearch=castsearch.__version__,
        castsearch_at=str(Path(castsearch.__file__).parent),
        python=platform.python_version(),
        python_at=sys.executable,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=core_count(),
        memory=_try(_memory, lambda fault: None),
        disk={str(folder): free for folder in folders if (free := _free(folder)) is not None},
        blas=tuple(_try(_blas, lambda fault: [fault])),
        gpu=_try(_gpu, lambda fault: fault),
        precisions=_try(_precisions, lambda fault: {"float32": fault}),
        scripts_without_font=fonts if isinstance(fonts, str) else tuple(fonts),
        browser=next((path for name in BROWSERS if (path := shutil.which(name))), None),
    )


def _try(look: Callable[[], T], otherwise: Callable[[str], U]) -> T | U:
    """What a look finds, whatever is broken on the way to it."""
    lines, ended = told(_PROBE, [look.__name__], PATIENCE)
    found: dict[str, Any] = lines[-1] if lines else {"fault": ended}
    return found["found"] if "found" in found else otherwise(" ".join(f"not known ({found['fault']})".split()))


def _memory() -> int:
    from castsearch.ranking.memory import available

    return available()


def _free(folder: Path) -> int | None:
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def _blas() -> list[str]:
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    found = (info for info in threadpool_info() if info["user_api"] == "blas")
    return [
        f"{info['internal_api']} {info.get('version') or ''} for {info.get('architecture') or 'any processor'}, "
        f"{info['num_threads']} threads ({Path(info['filepath']).name.partition('-')[0]})"
        for info in found
    ]


def _gpu() -> str:
    from castsearch.networks.places import find_place

    return str(find_place().device)


def _precisions() -> Mapping[str, str]:
    """Of networks on the CPU."""
    from castsearch.networks.places import PRECISIONS, find_place

    found: dict[str, str] = {}
    for precision in PRECISIONS:
        try:
            find_place(-1, precision)
        except Exception as error:
            found[precision] = " ".join(str(error).split()).removeprefix(f"{precision}: ")
        else:
            found[precision] = ""
    return found


def _scripts_without_font() -> list[str]:
    from castsearch.fonts import fit

    return [script for script, name in SCRIPTS.items() if fit(name, 10_000).missing]
