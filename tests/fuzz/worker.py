"""Reads cases of one kind, in a process of its own: ``python -m tests.fuzz.worker KIND FIRST TIMES FOLDER``.

The files of a case lie in the folder while it is read, and stay there when something breaks. Prints figures as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import re
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from castsearch.errors import CastSearchError
from tests.fuzz.kinds import KINDS

SECONDS, MEGABYTES = 10, 1024
LONGEST_LINE = 1000  # characters, beside the path


def peak_megabytes() -> int:
    """The most memory since the last call; not getrusage, which counts from the process's beginning."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak[1]) >> 10


def too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"over {SECONDS} s")


def judge(read: Callable[[Path], object], path: Path) -> str:
    """Read one case; how it ended, if it ended well."""
    signal.alarm(SECONDS)
    faulthandler.dump_traceback_later(SECONDS + 2, exit=True)  # where no signal gets through
    try:
        read(path)
    except CastSearchError as error:
        message = str(error)
        assert len(message) < LONGEST_LINE + len(str(path)) and message.isprintable(), message[:2000]
        assert str(path.parent) in message, message
        return "errors"
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    return "read"


def main() -> None:
    name, first, times, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_long)
    make, read = KINDS[name].open()
    address_space = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (address_space + (2 * MEGABYTES << 20),) * 2)
    figures = {"errors": 0, "read": 0, "seconds": 0.0, "megabytes": 0}
    peak_megabytes()
    for seed in range(first, first + times):
        files = make(random.Random(f"{name} {seed}"))
        paths = [folder / f"{name.replace(' ', '_')}_{seed}{ending}" for ending in files]
        for path, data in zip(paths, files.values(), strict=True):
            path.write_bytes(data)
        begun = time.perf_counter()
        figures[judge(read, paths[0])] += 1
        figures["seconds"] = max(figures["seconds"], time.perf_counter() - begun)
        figures["megabytes"] = max(figures["megabytes"], peak := peak_megabytes())
        assert peak < MEGABYTES, f"{peak} MB"
        for path in paths:
            path.unlink()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
