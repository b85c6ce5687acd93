"""What all command-line scripts share: default paths, common flags, and how errors end a run."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol, TextIO, TypeVar

from tqdm import tqdm

from castsearch.errors import CastSearchError
from castsearch.faces.packs import FacePack
from castsearch.networks import PRECISIONS
from castsearch.paths import NO_ROOM, look_alike, shortened
from castsearch.stagefiles import MODES, StageFileError, locks, metadata_path, remove_leftovers
from scripts import run_log

T = TypeVar("T")

_skip_bad = ""  # advice that is true only where the script has the flag

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
RESULTS = ROOT / "results"
RETINAFACE = ROOT / "RetinaFace"

MOST_LINES = 20  # that tell of scaled pictures


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and let the flags of the run itself take effect."""
        parsed = super().parse_args(args, namespace)
        _begin(parsed)
        return parsed

    def error(self, message: str) -> NoReturn:
        """End with one line, as all errors do, in place of the usage."""
        _end(2, message)
        self.exit(2, f"error: {' '.join(message.splitlines())}; --help lists the flags\n")


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows defaults in its help and keeps the description's line breaks."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action: argparse.Action) -> str | None:
            # Switches are off, and what has no fixed default says in its help what happens without it.
            plain = action.default is None or action.default is False
            return action.help if plain else super()._get_help_string(action)

    made = _Parser(description=description, formatter_class=Formatter, allow_abbrev=False)
    add = made.add_argument_group("the run itself").add_argument
    add("--log_file", type=Path, metavar="FILE", help="receives what the run does, a line of JSON each; FILE grows")
    add("-v", "--verbose", action="store_true", help="tell of each movie")
    add("--quiet", action="store_true", help="show results, warnings and errors alone")
    return made


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add ``--overwrite``."""
    parser.add_argument(
        "--overwrite", action="store_true", help="do all anew, what is current too, instead of what is left to do"
    )


def add_mode(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add ``--mode``, required unless it has a default."""
    parser.add_argument("--mode", choices=MODES, default=default, required=default is None, help="split to work on")


def add_data(parser: argparse.ArgumentParser, *spellings: str) -> None:
    """Add ``--data``, the folder of the stage files."""
    parser.add_argument("--data", *spellings, type=Path, default=DATA, metavar="DIR", help="folder of the stage files")


def add_reid(parser: argparse.ArgumentParser) -> None:
    """Add ``--reid``, the body models to rank with."""
    parser.add_argument(
        "--reid",
        nargs="+",
        default=["triplet_resnext101_32x8d"],
        metavar="NAME",
        help="body models: NAME_{mode}.pkl each; several are ranked together",
    )


def add_skip_bad(parser: argparse.ArgumentParser) -> None:
    """Add ``--skip_bad``, which from then on errors that it helps against name."""
    global _skip_bad
    _skip_bad = ", or go on without it by --skip_bad"
    parser.add_argument(
        "--skip_bad",
        action="store_true",
        help="go on without the pictures that cannot be read, and list them at the end",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, the face pack."""
    parser.add_argument(
        "--model",
        default="r50-r100",
        metavar="PACK",
        help="face pack: r50-r100, open, dlib, an InsightFace pack, or a folder of checkpoints",
    )


def add_gpu(parser: argparse.ArgumentParser) -> None:
    """Add ``--gpu``."""
    parser.add_argument(
        "--gpu", type=int, metavar="N", help="number of the GPU, -1 for the CPU; by default a GPU if there is one"
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add ``--precision``."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="at which networks compute on CPUs: float32 as the original; bfloat16 where the processor has it; int8, "
        "calibrated on some of the pictures and compared with float32 on others",
    )


@dataclass
class _Run:
    """The run of this script.

    Attributes:
        quiet: only results, warnings and errors are shown.
        log: receives what is done.
        counts: of what was worked on.
        files: that were written, or are current.
    """

    quiet: bool = False
    log: run_log.JsonLines | None = None
    counts: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


_run = _Run()


def _begin(args: argparse.Namespace) -> None:
    """Let the flags of the run itself take effect."""
    if _run.log is None:
        _run.quiet = args.quiet
        _run.log = run_log.begin(args.log_file, _stage(), args.quiet, args.verbose, warn)


def _stage() -> str:
    """The script's name, as documents have it."""
    script = Path(sys.argv[0]).resolve()
    return str(script.relative_to(ROOT)) if script.is_relative_to(ROOT) else script.name


def is_quiet() -> bool:
    """Whether only results, warnings and errors are shown."""
    return _run.quiet


def is_log(path: Path) -> bool:
    """Whether a file is this run's log, which is no result."""
    return _run.log is not None and path.exists() and path.samefile(_run.log.path)


def say(message: str) -> None:
    """Print what is no result."""
    if not _run.quiet:
        print(message)


def done(message: str, *files: Path, **counts: int) -> None:
    """Say what a stage did.

    Args:
        message: one line.
        files: that it wrote, or found current.
        counts: of what it worked on, by what it is.
    """
    say(message)
    _run.files += files
    _run.counts |= counts


@contextmanager
def alone(*files: Path) -> Iterator[None]:
    """Let no other run work on these files meanwhile; where one does, say so, and wait until it has ended."""
    with ExitStack() as held:
        for file in sorted(files):  # so that two runs never wait for each other
            held.enter_context(locks.alone(file, warn))
            remove_leftovers(file, metadata_path(file))
        yield


def warn(message: str) -> None:
    """Print a warning on standard error."""
    _tell(f"warning: {message}")


def _tell(message: str) -> None:
    """Print one line on standard error; that nobody can read it stops no work.

    What it quotes may be a stranger's: no character of it may be one that a terminal obeys.
    """
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", " ".join(message.splitlines()))
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Let go of what a stream could not write, now and whenever it is flushed."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def announce(pack: FacePack) -> FacePack:
    """Say which face pack runs where and under which licence."""
    say(f"face pack {pack.name} on {pack.device}; {pack.licence}")
    return pack


def progress(items: Iterable[T], *, total: int, unit: str) -> Iterable[T]:
    """Show rate and time left on a terminal, and nothing in a log."""
    return tqdm(items, total=total, unit=unit, disable=_run.quiet or None, dynamic_ncols=True)


class Account(Protocol):
    """What was odd about pictures: file or id -> words."""

    bad: dict[str, str]
    scaled: dict[str, str]


def report_pictures(account: Account) -> None:
    """List the pictures that ``--skip_bad`` went on without, and say which were scaled."""
    report(f"went on without {len(account.bad)} bad picture{'s' * (len(account.bad) > 1)}", account.bad.values())
    alike: dict[str, list[str]] = {}
    for file, words in account.scaled.items():
        alike.setdefault(words, []).append(file)
    lines = [f"{words}: {files[0]}{f' and {len(files) - 1} more' * (len(files) > 1)}" for words, files in alike.items()]
    more = [f"and {len(lines) - MOST_LINES} other ways"] * (len(lines) > MOST_LINES)
    report(f"scaled {len(account.scaled)} picture{'s' * (len(account.scaled) > 1)}", lines[:MOST_LINES] + more)


def split_folder(root: Path, mode: str, flag: str) -> Path:
    """The folder of a split's pictures below ``root``, which ``flag`` named.

    Raises:
        StageFileError: it is not there.
    """
    folder = root / mode
    if folder.is_dir():
        return folder
    if root.name == mode and root.is_dir():
        raise StageFileError(f"{folder}: no such folder; give the folder above, {flag} {root.parent}")
    near = look_alike(folder)
    mend = f"check {flag}" if near is None else f"but there is {near}; write it as it is there"
    raise StageFileError(f"{folder}: no such folder; {mend}")


def report(what: str, messages: Collection[str]) -> None:
    """Warn of several things of one kind, a line each; nothing where there are none."""
    if messages:
        warn(f"{what}:")
        for message in messages:
            _tell(f"  {message}")


def check_replaceable(path: Path, start: str, what: str) -> None:
    """See that what is written to ``path`` takes no other file's place.

    Args:
        path: of a file or of none.
        start: what files begin with that may be replaced; empty ones may be, too.
        what: they are.

    Raises:
        StageFileError: there is another file.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        found = file.read(len(start))
    if found not in (b"", start.encode()):
        raise StageFileError(f"{path}: there is a file that is not {what}; choose another name, or move it")


def first_few(names: Sequence[str], most: int = 10) -> str:
    """Names for a message: the first few, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def run(main: Callable[[], None]) -> None:
    """Run a script's ``main``; a mistake in the input is one line on standard error and exit code 2."""
    _prepare_streams()
    # A picture that has odd tags is read, and a bad one is an error: Pillow need not say so, too.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        main()
        sys.stdout.flush()
        _end(0)
    except CastSearchError as error:
        _fail(f"{error}{_skip_bad if error.skippable else ''}")
    except MemoryError:
        _fail("there is too little memory for this; close other programs, or take smaller pictures or fewer at once")
    except BrokenPipeError:
        _fail("whatever read the standard output stopped reading; send it to a file")
    except OSError as error:
        if error.errno in NO_ROOM:
            _fail(f"{error.filename or 'standard output'}: there is no room left on the disk; make room")
        if not error.filename:
            raise
        _fail(f"{shortened(str(error.filename))}: {error.strerror}; check the name, and who may use it")
    except KeyboardInterrupt:
        _tell("interrupted")
        _end(130, "interrupted")
        sys.exit(130)


def _end(code: int, error: str | None = None) -> None:
    """Log that the run has ended."""
    if _run.log is not None:
        _run.log.end(code, error, _run.counts, _run.files)


def _prepare_streams() -> None:
    """Names of any script can be shown by any terminal; somebody must be there to see them."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        _fail("the standard output is closed; send it to a file or to /dev/null")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _fail(message: str) -> NoReturn:
    """End with one line and exit code 2."""
    _tell(f"error: {message}")
    _end(2, message)
    _discard(sys.stdout)  # what could not be written must not be tried again when Python ends
    sys.exit(2)
