#!/usr/bin/env python3
"""Films: who is found in the two clips of the test data, by which models, in what time and memory.

    films.py [--runs 3] [--long 300]

Each run is find_cast.py in a process of its own, models take turns, medians. Seconds of presence are scored on friends
by tools/score_appearances.py; foreign portraits are those of the other clip. ``--long`` plays friends over and over,
packets copied, for so many seconds.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from stills import ROOT, TESTDATA

CLIPS = TESTDATA / "data" / "clips"
OSNET = TESTDATA / "models" / "osnet" / "osnet_x0_25_msmt17.onnx"
MODELS = {
    "mnet25 + MobileFaceNet, OSNet": ("checkpoints", OSNET),
    "open, OSNet": ("open", OSNET),
    "open, offline bodies": ("open", None),
    "mnet25 + MobileFaceNet, offline bodies": ("checkpoints", None),
}


@dataclass(frozen=True)
class Run:
    """What a run took."""

    out: Path
    seconds: float
    processor: float
    megabytes: float


def run(video: Path, portraits: Path, out: Path, faces: str, bodies: Path | None) -> Run:
    """find_cast.py, from nothing."""
    command = [sys.executable, ROOT / "scripts" / "find_cast.py", "--video", video, "--portraits", portraits]
    command += ["--out", out, "--model", faces, *(() if bodies is None else ("--bodies", bodies))]
    begun = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{video}: find_cast.py ended with {os.waitstatus_to_exitcode(status)}")
    return Run(out, time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def costs(done: Sequence[Run]) -> str:
    """Medians of what runs took."""
    took, busy, most = (
        statistics.median(getattr(each, name) for each in done) for name in ("seconds", "processor", "megabytes")
    )
    return f"{took:.1f} s, {busy:.1f} s of processor, {most:.0f} MB"


def score(found: Run) -> str:
    """F1, and seconds only claimed and missed, of friends."""
    truth = CLIPS / "friends" / "truth.json"
    tool = TESTDATA / "tools" / "score_appearances.py"
    command = [sys.executable, str(tool), str(found.out / "appearances.csv"), str(truth)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    match = re.search(r"F1 ([\d.]+).*, ([\d.]+) s only claimed, ([\d.]+) s missed", told)
    assert match
    return f"{match[1]} ({match[2]} s only claimed, {match[3]} s missed)"


def stretches(found: Run) -> str:
    """Who is said to appear when."""
    rows = (found.out / "appearances.csv").read_text().splitlines()[1:]
    return "; ".join(
        f"{row.split(',')[1]} {float(row.split(',')[2]):.1f}-{float(row.split(',')[3]):.1f}" for row in rows
    )


def played_over(clip: Path, out: Path, seconds: float) -> Path:
    """The clip's packets again and again."""
    with av.open(str(out), "w") as target, av.open(str(clip)) as first:
        stream = target.add_stream_from_template(first.streams.video[0])
        length = int(first.streams.video[0].duration or 0)
        start = 0
        while start * first.streams.video[0].time_base < seconds:
            with av.open(str(clip)) as source:
                for packet in source.demux(video=0):
                    if packet.dts is not None and packet.pts is not None:
                        packet.dts, packet.pts, packet.stream = packet.dts + start, packet.pts + start, stream
                        target.mux(packet)
            start += length
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--long", type=float, default=300.0, metavar="SECONDS")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores; medians of {args.runs} runs")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        checkpoints = work / "checkpoints"
        checkpoints.mkdir()
        for name in ("retinaface_mnet25", "mobilefacenet_y1"):
            (checkpoints / name).symlink_to((TESTDATA / "models" / name).resolve())
        places = {"checkpoints": str(checkpoints), "open": "open"}
        cases = [(clip, whose) for clip in ("friends", "titanic") for whose in ("friends", "titanic")]
        runs: dict[tuple[str, str, str], list[Run]] = {}
        for turn in range(args.runs):
            for name, (faces, bodies) in MODELS.items():
                for clip, whose in cases:
                    out = work / f"{turn} {name} {clip} {whose}".replace(" ", "_")
                    video = CLIPS / clip / f"{clip}.mp4"
                    done = run(video, CLIPS / whose / "portraits", out, places[faces], bodies)
                    runs.setdefault((name, clip, whose), []).append(done)
        for (name, clip, whose), done in runs.items():
            told = score(done[0]) if clip == whose == "friends" else stretches(done[0]) or "nobody"
            print(f"{name} | {clip}, portraits of {whose} | {costs(done)} | {told}")
        if args.long:
            film = played_over(CLIPS / "friends" / "friends.mp4", work / "long.mp4", args.long)
            done = [
                run(film, CLIPS / "friends" / "portraits", work / f"long{turn}", str(checkpoints), OSNET)
                for turn in range(args.runs)
            ]
            print(f"{args.long:.0f} s of film: {costs(done)}")


if __name__ == "__main__":
    main()
