"""Runs a script undisturbed, and then killed again and again: ``killed.py KILLS SEED FOLDER SCRIPT ARGS...``.

In ARGS, ``{out}`` stands for where the script writes: ``FOLDER/whole`` first, then ``FOLDER/killed``. What lies in
``FOLDER/given``, if it is there, is copied into both before. A run is killed at a moment drawn from the time that the
undisturbed one took; one that is quicker, as of what was done before, must leave the same files, and all begins anew.

Runs are forked off a process that has loaded what scripts need, so that hundreds of them take little time.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADED = {
    "RetinaFace": ("castsearch.faces.frames", "castsearch.faces.network_files", "onnxruntime", "openvino"),
    "reid": ("castsearch.faces", "castsearch.bodies.models", "castsearch.bodies.training", "reid.stage"),
    "scripts": ("castsearch.movies.finding", "castsearch.gallery.site.films", "openvino", "av", "onnxruntime"),
    "": ("castsearch.ranking", "castsearch.crops", "castsearch.gallery.site.stages", "castsearch.gallery.site.making"),
}
# Of when files were written, or where: no two runs have them in common.
STAMPS = ("outputs", "sources", "body", "root")


def start(script: str, words: list[str], out: Path) -> int:
    """Run a script in a process of its own."""
    sys.stdout.flush()
    while any(is_loading(module) for module in [*sys.modules.values()]):
        time.sleep(0.01)  # OpenVINO has a thread that imports: what it is at would never be done in the other process
    pid = os.fork()
    if pid:
        return pid
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    sys.argv = [str(ROOT / script), *(word.replace("{out}", str(out)) for word in words)]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = int(end.code or 0)
    os._exit(code)


def is_loading(module: object) -> bool:
    """Whether a module is being imported just now."""
    return getattr(getattr(module, "__spec__", None), "_initializing", False)


def ended(pid: int) -> None:
    """See that a run that was not killed ended well."""
    assert os.waitpid(pid, 0)[1] == 0, "a run failed"


def prepare(folder: Path, out: Path) -> None:
    """Begin anew."""
    shutil.rmtree(out, ignore_errors=True)
    if (folder / "given").exists():
        shutil.copytree(folder / "given", out)
    else:
        out.mkdir(parents=True)


def content(out: Path) -> dict[str, bytes]:
    """What the files below a folder hold, but for stamps."""
    return {str(path.relative_to(out)): _bare(path) for path in sorted(out.rglob("*")) if path.is_file()}


def _bare(path: Path) -> bytes:
    held = path.read_bytes()
    if path.name == ".search.json":
        return b""
    if path.name.endswith(".pkl.json"):
        told = json.loads(held)
        return json.dumps({field: value for field, value in told.items() if field not in STAMPS}).encode()
    return held


def check(whole: dict[str, bytes], out: Path) -> None:
    """See that a folder holds the same."""
    found = content(out)
    assert list(found) == list(whole), f"files differ: {sorted(found.keys() ^ whole.keys())}"
    different = [name for name, held in whole.items() if found[name] != held]
    assert not different, f"differ: {different}"


def main(kills: int, seed: int, folder: Path, script: str, words: list[str]) -> None:
    """Kill runs, and see what is left."""
    sys.path.insert(0, str(ROOT))
    for module in LOADED[script.rpartition("/")[0]]:
        importlib.import_module(module)
    prepare(folder, folder / "whole")
    begun = time.perf_counter()
    ended(start(script, words, folder / "whole"))
    seconds = time.perf_counter() - begun
    whole, out = content(folder / "whole"), folder / "killed"
    prepare(folder, out)
    draw, done, whole_runs = random.Random(seed), 0, 0
    while done < kills:
        pid = start(script, words, out)
        time.sleep(draw.uniform(0, seconds))
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            done += 1
            continue
        check(whole, out)
        prepare(folder, out)
        whole_runs += 1
    ended(start(script, words, out))
    check(whole, out)
    print(f"{done} kills of {seconds:.2f} s, {whole_runs} runs came through, {len(whole)} files")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5:])
