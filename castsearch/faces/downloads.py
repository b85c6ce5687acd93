"""Fetching InsightFace's model packs: resumable, checked, placed whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from castsearch.errors import CastSearchError, one_line
from castsearch.faces.catalogue import INSIGHTFACE_FOLDER
from castsearch.faces.errors import PackError
from castsearch.identifiers import shown
from castsearch.networks.errors import NetworkError
from castsearch.paths import NO_ROOM
from castsearch.progress import Progress, silent
from castsearch.stagefiles import check_folder
from castsearch.stagefiles.locks import hold

RELEASES = "https://github.com/deepinsight/insightface/releases/download/v0.7"
# SHA-256 of NAME.zip in that release.
SHA256 = {
    "buffalo_l": "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
    "buffalo_m": "d98264bd8f2dc75cbc2ddce2a14e636e02bb857b3051c234b737bf3b614edca9",
    "buffalo_s": "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
    "buffalo_sc": "57d31b56b6ffa911c8a73cfc1707c73cab76efe7f13b675a05223bf42de47c72",
    "antelopev2": "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
}
BLOCK = 1_000_000  # bytes
TIMEOUT = 30  # seconds without an answer
ATTEMPTS = 3  # a connection that breaks is taken up again so many times without progress
MOST_UNPACKED = 2_000_000_000  # bytes; the largest pack has 408 MB


class DownloadError(CastSearchError):
    """A file that cannot be fetched, kept or unpacked, or is not the one that was expected."""


def install_pack(
    name: str,
    folder: Path | None = None,
    mirror: str = RELEASES,
    sha256: str | None = None,
    progress: Progress = silent,
) -> Path:
    """Fetch an InsightFace pack and unpack its networks into ``folder/name``.

    Args:
        name: of ``SHA256``.
        folder: where packs lie; by default where the insightface library looks for them.
        mirror: URL of the place that has ``{name}.zip``.
        sha256: of that file, where it is not the release's.
        progress: is given blocks of a megabyte.

    Returns:
        The pack's folder, which may have been there before.

    Raises:
        DownloadError: the file cannot be fetched, or is another one; what arrived is kept for the next try. Or other
            networks lie in the pack's folder.
        StageFileError: the folder cannot be written to.
    """
    folder = INSIGHTFACE_FOLDER.expanduser() if folder is None else folder
    target = folder / name
    if fault(target) is None:
        return target
    check_folder(target)
    expected = (SHA256[name] if sha256 is None else sha256).strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise DownloadError(f"{shown(sha256)}: not a SHA-256; give its 64 hexadecimal digits")
    if not re.match("https?://[^/]", mirror, re.IGNORECASE):
        raise DownloadError(f"{mirror}: not a URL; give one that begins with https:// and names a server")
    part = folder / f"{name}.zip.part"
    with _held(part) as file:
        if fault(target) is not None:  # another run may have ended just now
            fetch(f"{mirror.rstrip('/')}/{name}.zip", file, expected, progress)
            with _writing(target):
                _unpack(file, target)
        part.unlink(missing_ok=True)
    if (what := fault(target)) is not None:
        raise DownloadError(f"{what}; delete there what is not of {name}")
    return target


def fault(target: Path) -> str | None:
    """Why a folder holds no pack, in a few words; None if it does."""
    from castsearch.faces.network_files import find_networks  # which loads ONNX Runtime

    if not target.exists():
        return "it is not there"
    try:
        find_networks(target)
    except (PackError, NetworkError) as error:
        return str(error)
    return None


@contextmanager
def _held(part: Path) -> Iterator[BinaryIO]:
    """The file that receives a download, open for appending, and this process's alone.

    It must not be opened a second time: closing that would let the first go.
    """
    with _writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("a+b")
    with file:
        if not hold(file):
            raise DownloadError(f"{part}: another run is fetching it; wait until that has ended")
        try:
            yield file
        finally:
            if file.seek(0, 2) == 0:
                part.unlink(missing_ok=True)  # nothing came


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell what stops writing; what is there already is kept for the next try."""
    try:
        yield
    except OSError as error:
        mend = "make room" if error.errno in NO_ROOM else "choose another folder"
        raise DownloadError(f"{path}: cannot be written ({error.strerror}); {mend}, and run again to go on") from None


def fetch(url: str, file: BinaryIO, sha256: str, progress: Progress = silent) -> None:
    """Fetch a file; what an earlier try left is continued.

    Args:
        url: of the file.
        file: where it goes, open for reading and appending; ``{name}.zip.part``.
        sha256: of the whole, in lower case.
        progress: is given blocks of a megabyte.

    Raises:
        DownloadError: the server cannot be reached, breaks off, or sends a file with another SHA-256, or there is no
            room for it.
    """
    part, idle = Path(file.name), 0
    while _sha256(file) != sha256:
        before = _size(part)
        try:
            _continue(url, file, progress)
        except urllib.error.HTTPError as error:
            raise DownloadError(
                f"{url}: the server says {error.code} {one_line(error.reason)}; {_elsewhere(part)}"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            idle = 0 if _size(part) > before else idle + 1
            if idle >= ATTEMPTS:
                reason = one_line(getattr(error, "reason", None) or error)
                raise DownloadError(
                    f"{url}: cannot be fetched ({reason}); run again to go on, or {_elsewhere(part)}"
                ) from None
            continue
        if (found := _sha256(file)) == sha256:
            return
        part.unlink(missing_ok=True)
        raise DownloadError(
            f"{url}: SHA-256 is {found}, expected {sha256}; it was removed, try again or another mirror"
        )


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size


def _elsewhere(part: Path) -> str:
    archive = part.with_suffix("")
    return f"fetch {archive.name} on another machine and unpack it into {archive.with_suffix('')}"


def _continue(url: str, file: BinaryIO, progress: Progress) -> None:
    """Append what is missing of ``url`` to a file; start anew where the server does not offer parts."""
    have = file.seek(0, 2)
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; its SHA-256 tells whether it is the file
        raise
    except (ValueError, http.client.InvalidURL) as error:
        raise DownloadError(f"{url}: not a URL ({one_line(error)}); give one without blanks or odd letters") from None
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            file.truncate(0)
        length = response.length or 0
        _check_room(Path(file.name), length)
        received = 0
        for block in progress(_blocks(response), total=-(-length // BLOCK), unit="MB"):
            with _writing(Path(file.name)):
                file.write(block)
                file.flush()
            received += len(block)
        if received < length:
            raise ConnectionError(f"it broke off {length - received} bytes before the end")


def _check_room(path: Path, size: int) -> None:
    """See that there is room for so many bytes more, before a long download and not at its end."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise DownloadError(
            f"{path}: there is no room for the {size / 1e6:.0f} MB to come, {free / 1e6:.0f} MB are free; make room, "
            "and run again to go on"
        )


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while block := response.read(BLOCK):
        yield block


def _unpack(archive: BinaryIO, target: Path) -> None:
    """Unpack the networks of an archive, whatever folder of it they lie in, into ``target``."""
    scratch = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir()
    try:
        _extract(archive, scratch)
        if (what := fault(scratch)) is not None:
            raise DownloadError(f"{archive.name}: holds no face pack ({what}); delete it and try another mirror")
        target.mkdir(exist_ok=True)
        for network in scratch.iterdir():
            network.replace(target / network.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(archive: BinaryIO, folder: Path) -> None:
    """Write the networks of an archive into a folder.

    Raises:
        DownloadError: it is no archive, is damaged, or unpacks to more than any pack.
        OSError: there is no room.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            # Only the last part of a path counts, so that none can lead out of the folder.
            members = [
                (member, PurePosixPath(member.filename.replace("\\", "/")).name)
                for member in packed.infolist()
                if member.filename.endswith(".onnx")
            ]
            # What a member unpacks to beyond its declared size is not read.
            if (size := sum(member.file_size for member, _ in members)) > MOST_UNPACKED:
                raise DownloadError(
                    f"{archive.name}: unpacks to {size / 1e9:.0f} GB, more than any pack; delete it, try another mirror"
                )
            _check_room(folder, size)
            for member, name in members:
                with packed.open(member) as source, (folder / name).open("xb") as network:
                    shutil.copyfileobj(source, network)
    except DownloadError:
        raise
    except Exception as error:  # zipfile's decompressors raise of many types
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        raise DownloadError(
            f"{archive.name}: not a usable zip file ({one_line(error)}); delete it and try again"
        ) from None
