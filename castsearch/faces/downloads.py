"""Fetching InsightFace's model packs: resumable, checked, placed whole or not at all."""

from __future__ import annotations

import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from castsearch.errors import CastSearchError
from castsearch.faces.catalogue import INSIGHTFACE_FOLDER
from castsearch.progress import Progress, silent
from castsearch.stagefiles import file_sha256

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


class DownloadError(CastSearchError):
    """A file that cannot be fetched, or is not the one that was expected."""


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
        DownloadError: the file cannot be fetched, or is another one; what arrived is kept for the next try.
    """
    folder = INSIGHTFACE_FOLDER.expanduser() if folder is None else folder
    target = folder / name
    if target.is_dir():
        return target
    archive = folder / f"{name}.zip"
    fetch(f"{mirror.rstrip('/')}/{name}.zip", archive, sha256 or SHA256[name], progress)
    _unpack(archive, target)
    archive.unlink()
    return target


def fetch(url: str, target: Path, sha256: str, progress: Progress = silent) -> None:
    """Fetch a file; what an earlier try left in ``{target}.part`` is continued.

    Raises:
        DownloadError: the server cannot be reached, breaks off, or sends a file with another SHA-256.
    """
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    idle = 0
    while True:
        before = _size(part)
        try:
            _continue(url, part, progress)
            break
        except urllib.error.HTTPError as error:
            raise DownloadError(f"{url}: the server says {error.code} {error.reason}; {_elsewhere(target)}") from None
        except (OSError, http.client.HTTPException) as error:
            idle = 0 if _size(part) > before else idle + 1
            if idle >= ATTEMPTS:
                reason = getattr(error, "reason", None) or error or type(error).__name__
                raise DownloadError(
                    f"{url}: cannot be fetched ({reason}); run again to go on, or {_elsewhere(target)}"
                ) from None
    found = file_sha256(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(
            f"{url}: SHA-256 is {found}, expected {sha256}; it was removed, try again or another mirror"
        )
    part.replace(target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _elsewhere(target: Path) -> str:
    return f"fetch {target.name} on another machine and unpack it into {target.with_suffix('')}"


def _continue(url: str, part: Path, progress: Progress) -> None:
    """Append what is missing of ``url`` to ``part``; start anew where the server does not offer parts."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; its SHA-256 tells whether it is the file
        raise
    except ValueError as error:
        raise DownloadError(f"{url}: not a URL ({error}); give one that begins with https://") from None
    with response, part.open("ab" if response.status == http.client.PARTIAL_CONTENT else "wb") as file:
        length = int(response.headers.get("Content-Length") or 0)
        received = 0
        for block in progress(_blocks(response), total=-(-length // BLOCK), unit="MB"):
            file.write(block)
            received += len(block)
        if received < length:
            raise ConnectionError(f"it broke off {length - received} bytes before the end")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while block := response.read(BLOCK):
        yield block


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the networks of an archive, whatever folder of it they lie in, into ``target``."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        whole = Path(scratch) / target.name
        whole.mkdir()
        try:
            with zipfile.ZipFile(archive) as packed:
                for member in packed.infolist():
                    # Only the last part of a path counts, so that none can lead out of the folder.
                    name = PurePosixPath(member.filename.replace("\\", "/")).name
                    if name.endswith(".onnx") and not member.is_dir():
                        with packed.open(member) as source, (whole / name).open("xb") as file:
                            shutil.copyfileobj(source, file)
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
            raise DownloadError(f"{archive}: not a usable zip file ({error}); delete it and try again") from None
        if not any(whole.iterdir()):
            raise DownloadError(f"{archive}: holds no network (.onnx); delete it and try another mirror")
        whole.replace(target)
