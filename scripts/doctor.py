#!/usr/bin/env python3
"""What is installed here, which weights are here, on what networks run, and which commands can.

It runs where next to nothing is installed, and tells a package that is broken from one that is missing. The exit code
is 0 if the quickstart (make demo) can run, and 1 if it cannot.

    python3 scripts/doctor.py            for people
    python3 scripts/doctor.py --json     for programs
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Not scripts.cli: it loads packages that may be missing.
from castsearch import doctor


def parse_args() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--sha256", action="store_true", help="compute the SHA-256 of each file of weights, too")
    return parser.parse_args()


def show_machine(machine: doctor.Machine, extension: doctor.Extension) -> None:
    """Print what there is to run on."""
    memory = "free memory not known" if machine.memory is None else f"{size(machine.memory)} of memory free"
    title("Machine")
    line("castsearch", f"{machine.castsearch} in {machine.castsearch_at}")
    line("Python", f"{machine.python}, {machine.python_at}")
    line("system", f"{machine.system}, {count(machine.cores, 'core')}, {memory}")
    for folder, free in machine.disk.items():
        line("disk", f"{size(free)} free for {folder}")
    line("compiled kernel", f"does not load: {extension.kernel_fault}" if extension.kernel_fault else "loads")
    for blas in machine.blas:
        line("matrix products", blas)
    line("networks run on", machine.gpu)
    line("GPUs of PyTorch", ", ".join(extension.torch_devices) or "none")
    for precision, fault in machine.precisions.items():
        line(f"  {precision}", fault or "runs on this CPU")
    fonts = machine.scripts_without_font
    if not isinstance(fonts, str):
        fonts = f"none for names in {', '.join(fonts)}, which show as boxes" if fonts else "for all of ten scripts"
    line("fonts", fonts)
    line("browser", machine.browser or "none found; needed to look at galleries here, and to test them")


def show_packages(packages: list[doctor.Package]) -> None:
    """Print what is installed, those that do not do marked."""
    title("Packages")
    for package in packages:
        wanted = f"{package.least} or later" if package.least else "any"
        use = ", ".join(package.extras) or "all"
        state = "" if package.works else f"  <- {package.fault}"
        print(f"  {package.name:34} {package.found or '-':14} {wanted:18} for {use}{state}")


def show_weights(weights: list[doctor.Weights]) -> None:
    """Print which weights are here."""
    title("Weights")
    for one in weights:
        total = sum(file.size for file in one.files)
        state = f"here, {size(total)}" if one.here else f"not here; {one.mend}"
        print(f"  {one.name:14} {one.use:17} {state}\n{'':17}licence: {one.licence}")
        for file in one.files:
            print(f"{'':17}{size(file.size):>8}  {file.path}" + f"\n{'':27}{file.sha256}" * (file.sha256 is not None))


def show_commands(commands: list[doctor.Command]) -> None:
    """Print which commands can run."""
    title("Commands")
    for one in commands:
        print(f"  {'yes' if one.runs else 'no':4}{one.name:42} {one.what}")
        if not one.runs:
            print(f"{'':10}lacks {one.lacks}\n{'':10}mend: {one.mend}")


def title(words: str) -> None:
    """Begin a section."""
    print(f"\n{words}")


def line(name: str, words: str) -> None:
    """Print one fact."""
    print(f"  {name:16} {words}")


def count(number: int, thing: str) -> str:
    """Things, counted."""
    return f"{number} {thing}{'s' * (number != 1)}"


def size(number: int) -> str:
    """Bytes in words."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def main() -> int:
    """Look and tell."""
    args = parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    packages, extension = doctor.look_at_packages()
    folders = [ROOT / "data", ROOT / "results"]
    with suppress(RuntimeError):  # a user without a home
        folders.append(Path.home())
    machine = doctor.look_at_machine(folders)
    weights = doctor.look_for_weights(args.sha256)
    commands = doctor.commands(packages, extension, weights)
    if args.json:
        found = {"machine": asdict(machine), **asdict(extension)}
        parts = {"packages": packages, "weights": weights, "commands": commands}
        print(json.dumps(found | {name: [asdict(one) for one in part] for name, part in parts.items()}, indent=1))
    else:
        show_machine(machine, extension)
        show_packages(packages)
        show_weights(weights)
        show_commands(commands)
    return 0 if all(one.runs for one in commands if one.name == doctor.QUICKSTART) else 1


if __name__ == "__main__":
    sys.exit(main())
