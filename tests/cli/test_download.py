"""scripts/download_models.py, against a server of our own with good and bad manners."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NETWORK = np.random.default_rng(0).bytes(2_500_000)


def archive(*names: str, content: bytes = NETWORK) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name in names:
            packed.writestr(name, content)
    return file.getvalue()


class Server:
    """Serves one file. ``break_after`` bytes of an answer it hangs up, so many ``breaks`` times."""

    def __init__(self) -> None:
        self.content, self.ranges, self.break_after, self.breaks = b"", True, 0, 0
        self.asked: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                outer.asked.append(wanted)
                if not self.path.endswith("/buffalo_sc.zip"):
                    self.send_error(404)
                    return
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and outer.ranges else 0  # type: ignore[index]
                if start >= len(outer.content):
                    self.send_error(416)
                    return
                body = outer.content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if outer.breaks:
                    outer.breaks -= 1
                    body = body[: outer.break_after]
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/packs"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.content = archive("buffalo_sc/det_500m.onnx", "buffalo_sc/w600k_mbf.onnx")
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def download(script: Callable[..., Any], server: Server, tmp_path: Path) -> Callable[..., Any]:
    def run(*args: object, code: int = 0, name: str = "buffalo_sc") -> Any:
        digest = hashlib.sha256(server.content).hexdigest()
        places = ("--folder", tmp_path / "models", "--mirror", server.url)
        return script("scripts/download_models.py", name, *places, "--sha256", digest, *args, code=code)

    return run


def check(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["buffalo_sc"]
    assert sorted(p.name for p in (folder / "buffalo_sc").iterdir()) == ["det_500m.onnx", "w600k_mbf.onnx"]
    assert (folder / "buffalo_sc/w600k_mbf.onnx").read_bytes() == NETWORK


def test_fetch_and_unpack(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    done = download()
    check(tmp_path / "models")
    assert "non-commercial research only" in done.stdout
    assert f"buffalo_sc -> {tmp_path / 'models/buffalo_sc'}" in done.stdout
    assert server.asked == [None]
    download()  # it is there: nothing is asked for again
    assert server.asked == [None]


def test_broken_connection_is_taken_up_again(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    server.break_after, server.breaks = 1_100_000, 3
    download()
    check(tmp_path / "models")
    assert server.asked == [None, "bytes=1100000-", "bytes=2200000-", "bytes=3300000-"]


def test_killed_download_is_continued(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    part = tmp_path / "models/buffalo_sc.zip.part"
    part.parent.mkdir()
    part.write_bytes(server.content[:2_000_000])
    download()
    check(tmp_path / "models")
    assert server.asked == ["bytes=2000000-"]


def test_complete_part_needs_unpacking_only(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/buffalo_sc.zip.part").write_bytes(server.content)
    download()
    check(tmp_path / "models")


def test_server_without_ranges_starts_anew(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "models").mkdir()
    (tmp_path / "models/buffalo_sc.zip.part").write_bytes(b"x" * 1000)
    download()
    check(tmp_path / "models")


def test_server_that_keeps_hanging_up(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    server.break_after, server.breaks = 0, 99
    done = download(code=2)
    assert re.fullmatch(
        r"error: http://\S+/buffalo_sc\.zip: cannot be fetched \(.*\); run again to go on, or .*\n", done.stderr
    )
    assert not (tmp_path / "models/buffalo_sc").exists()


def test_another_file_than_expected(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    done = download("--sha256", "0" * 64, code=2)
    assert "SHA-256 is " in done.stderr
    assert f"expected {'0' * 64}" in done.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_release_hash_is_expected_by_default(script: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    places = ("--folder", tmp_path, "--mirror", server.url)
    done = script("scripts/download_models.py", "buffalo_sc", *places, code=2)
    assert "expected 57d31b56b6ffa911c8a73cfc1707c73cab76efe7f13b675a05223bf42de47c72" in done.stderr


def test_hostile_archive_stays_in_its_folder(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    server.content = archive("../../evil.onnx", "/abs/other.onnx", "notes.txt")
    download()
    assert sorted(p.name for p in (tmp_path / "models/buffalo_sc").iterdir()) == ["evil.onnx", "other.onnx"]
    assert not list(tmp_path.parent.glob("*.onnx"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip at all", "not a usable zip file"),
        (archive("readme.txt"), r"holds no network \(.onnx\)"),
        (archive("a/x.onnx", "b/x.onnx", content=b"1"), "not a usable zip file"),
    ],
)
def test_useless_archive(
    download: Callable[..., Any], server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    server.content = content
    assert re.search(message, download(code=2).stderr)
    assert not (tmp_path / "models/buffalo_sc").exists()


def test_not_on_the_server(download: Callable[..., Any], tmp_path: Path) -> None:
    done = download(name="antelopev2", code=2)
    assert "the server says 404" in done.stderr
    assert f"unpack it into {tmp_path / 'models/antelopev2'}" in done.stderr


def test_no_network(script: Callable[..., Any], tmp_path: Path) -> None:
    done = script(
        "scripts/download_models.py", "buffalo_s", "--folder", tmp_path, "--mirror", "http://127.0.0.1:9", code=2
    )
    assert done.stderr.count("\n") == 1
    assert "cannot be fetched ([Errno 111] Connection refused)" in done.stderr


def test_what_is_fetched_by_hand(script: Callable[..., Any]) -> None:
    done = script("scripts/download_models.py")
    assert re.search(r"buffalo_l .*\nbuffalo_m", done.stdout)
    done = script("scripts/download_models.py", "dlib")
    assert "nothing to fetch" in done.stdout
    done = script("scripts/download_models.py", "nonsense", code=2)
    assert done.stderr.startswith("error: nonsense: no such pack; choose from buffalo_l")
