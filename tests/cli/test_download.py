"""scripts/download_models.py, against a server of our own with good and bad manners."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import re
import resource
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from castsearch.faces import catalogue, downloads
from castsearch.stagefiles.locks import hold

DETECTOR, EMBEDDER = "det_500m.onnx", "w600k_mbf.onnx"


def network(side: int | str, outputs: int) -> bytes:
    """As many outputs as a network of its kind has, and 2.5 MB of weights."""
    weights = np.random.default_rng(0).standard_normal(625_000).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [f"y{n}"]) for n in range(outputs)],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, [1, 3, side, side]) for n in range(outputs)],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


NETWORKS = {DETECTOR: network("?", 9), EMBEDDER: network(112, 1)}


def archive(*names: str, content: bytes | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    """Members of these names, each with ``content`` or else the network of the name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name in names:
            packed.writestr(name, NETWORKS.get(name.rpartition("/")[2], b"") if content is None else content)
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
    made.content = archive(f"buffalo_sc/{DETECTOR}", f"buffalo_sc/{EMBEDDER}")
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
    assert {path.name: path.read_bytes() for path in (folder / "buffalo_sc").iterdir()} == NETWORKS


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
    server.content = archive(f"../../{DETECTOR}", f"/abs/{EMBEDDER}", "notes.txt")
    download()
    check(tmp_path / "models")
    assert not list(tmp_path.parent.glob("*.onnx"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip at all", "not a usable zip file"),
        (archive("readme.txt"), r"holds no face pack \(.*expected one detector, found none"),
        (archive(EMBEDDER), r"holds no face pack \(.*expected one detector, found none"),
        (archive(DETECTOR, EMBEDDER, f"b/{EMBEDDER}"), "not a usable zip file"),
        (archive(DETECTOR, EMBEDDER)[:-100_000], "not a usable zip file"),
        (archive("x.onnx", content=b"no network"), r"holds no face pack \(.*x\.onnx: not a usable network"),
    ],
)
def test_useless_archive(
    download: Callable[..., Any], server: Server, tmp_path: Path, content: bytes, message: str
) -> None:
    server.content = content
    assert re.search(message, download(code=2).stderr)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["buffalo_sc.zip.part"]


def test_bomb(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    """Two gigabytes and a half of zeros in 2.5 MB: refused by what it declares, before a byte is unpacked."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for number in range(5):
            packed.writestr(f"{number}.onnx", bytes(500_000_000))
    server.content = file.getvalue()
    assert "unpacks to 2 GB, more than any pack" in download(code=2).stderr
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["buffalo_sc.zip.part"]


@pytest.mark.parametrize("content", [[], [DETECTOR], [EMBEDDER, "notes.txt"], None])
def test_folder_that_is_no_pack_is_not_here(
    download: Callable[..., Any], script: Callable[..., Any], tmp_path: Path, content: list[str] | None
) -> None:
    """Empty, half unpacked, or with a network cut short; what else lies there stays."""
    folder = tmp_path / "models/buffalo_sc"
    folder.mkdir(parents=True)
    for name in content or []:
        (folder / name).write_bytes(NETWORKS.get(name, b"mine"))
    if content is None:
        (folder / EMBEDDER).write_bytes(NETWORKS[EMBEDDER][:1000])
    listed = script("scripts/download_models.py", "--folder", tmp_path / "models").stdout
    assert re.search(r"buffalo_sc +not whole: .*(expected one|not a usable network)", listed)
    download()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".onnx"} == NETWORKS
    assert (folder / "notes.txt").exists() == ("notes.txt" in (content or []))
    assert re.search(
        r"buffalo_sc +here\n", script("scripts/download_models.py", "--folder", tmp_path / "models").stdout
    )


@pytest.mark.parametrize("name", [catalogue.OPEN, catalogue.DLIB])
def test_packs_that_packages_bring_are_told(script: Callable[..., Any], name: str) -> None:
    state = re.search(rf"^{name} +(.*)$", script("scripts/download_models.py").stdout, re.MULTILINE)
    assert state[1].startswith("here" if catalogue.is_here(name) else "not here; installed by ")
    assert script("scripts/download_models.py", name).stdout.endswith("; nothing to fetch\n")


def test_hash_in_upper_case(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    download("--sha256", f" {hashlib.sha256(server.content).hexdigest().upper()} ")
    check(tmp_path / "models")


@pytest.mark.parametrize("packs", [(), ("buffalo_s", "buffalo_m")])
def test_a_hash_is_of_one_pack(script: Callable[..., Any], tmp_path: Path, packs: tuple[str, ...]) -> None:
    done = script("scripts/download_models.py", *packs, "--folder", tmp_path, "--sha256", "0" * 64, code=2)
    assert done.stderr.startswith("error: --sha256 is of one PACK; name one")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    """The second says so and leaves the first's bytes alone."""
    part = tmp_path / "models/buffalo_sc.zip.part"
    part.parent.mkdir()
    with part.open("a+b") as file:
        file.write(b"the first's")
        file.flush()
        assert hold(file)
        done = download(code=2)
        assert done.stderr == f"error: {part}: another run is fetching it; wait until that has ended\n"
        assert part.read_bytes() == b"the first's"
    assert server.asked == []


def test_another_run_that_ended_just_now(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look whether the pack is there and the lock: nothing is fetched again."""

    def late(file: BinaryIO) -> bool:
        (tmp_path / "buffalo_sc").mkdir()
        for name, content in NETWORKS.items():
            (tmp_path / "buffalo_sc" / name).write_bytes(content)
        return hold(file)

    monkeypatch.setattr(downloads, "hold", late)
    downloads.install_pack("buffalo_sc", tmp_path, server.url)
    assert server.asked == []
    check(tmp_path)


def test_no_room_for_what_comes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(
        downloads.DownloadError, match=r"no room for the 5 MB to come, 1 MB are free; make room, and run"
    ):
        downloads.install_pack("buffalo_sc", tmp_path, server.url)
    assert list(tmp_path.iterdir()) == []


def test_no_room_to_unpack(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen before the first network is written; the archive stays."""
    free = iter([10**9, 10**6])
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    monkeypatch.setattr(downloads.shutil, "copyfileobj", None)
    with pytest.raises(downloads.DownloadError, match=r"no room for the 5 MB to come, 1 MB are free; make room, and"):
        downloads.install_pack("buffalo_sc", tmp_path, server.url, hashlib.sha256(server.content).hexdigest())
    assert [path.name for path in tmp_path.iterdir()] == ["buffalo_sc.zip.part"]


@pytest.mark.parametrize("limit", [3_000_000, 5_100_000], ids=["fetching", "unpacking"])
def test_disk_that_fills_keeps_what_arrived(
    download: Callable[..., Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A limit on the size of files stands for a full disk; 2.5 MB a network, 5 MB the archive."""
    sha256 = hashlib.sha256(server.content).hexdigest()
    if limit > len(server.content):
        monkeypatch.setattr(downloads.shutil, "copyfileobj", no_space)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        with pytest.raises(
            downloads.DownloadError, match=r"cannot be written \(.*\); make room, and run again to go on"
        ):
            downloads.install_pack("buffalo_sc", tmp_path / "models", server.url, sha256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    part = tmp_path / "models/buffalo_sc.zip.part"
    assert [path.name for path in part.parent.iterdir()] == [part.name]
    assert part.stat().st_size == min(limit, len(server.content))
    download()
    check(tmp_path / "models")


def no_space(source: object, file: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--mirror", "example.org/packs"), "example.org/packs: not a URL; give one that begins with https://"),
        (("--mirror", "file:///packs"), "file:///packs: not a URL; give one that begins with https://"),
        (("--mirror", "http://[bad"), "http://[bad/buffalo_sc.zip: not a URL (Invalid IPv6 URL)"),
        (("--mirror", "http://no such/place"), "not a URL (URL can't contain control characters"),
        (("--sha256", "abc"), "abc: not a SHA-256; give its 64 hexadecimal digits"),
        (("--sha256", ""), "'': not a SHA-256; give"),
        (("--mirror", "https://"), "https://: not a URL; give one that begins with https:// and names a server"),
        (("--mirror", "http://a:b"), "http://a:b/buffalo_sc.zip: not a URL (nonnumeric port: 'b')"),
        (("--folder", "{tmp}/file"), "{tmp}/file is a file, where a folder was expected"),
        (("--folder", "{tmp}/taken"), "{tmp}/taken/buffalo_sc: is a file, where a folder was expected"),
    ],
)
def test_what_cannot_be(
    download: Callable[..., Any], server: Server, tmp_path: Path, flags: tuple[str, str], message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/buffalo_sc").touch()
    done = download(flags[0], flags[1].replace("{tmp}", str(tmp_path)), code=2)
    assert message.replace("{tmp}", str(tmp_path)) in done.stderr
    assert done.stderr.count("\n") == 1
    assert server.asked == []
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"file", "buffalo_sc"}


def test_a_network_that_lay_there_before(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    """The pack's are put beside it; once it is gone nothing need be fetched again."""
    other = tmp_path / "models/buffalo_sc/other.onnx"
    other.parent.mkdir(parents=True)
    other.write_bytes(NETWORKS[EMBEDDER])
    done = download(code=2)
    assert f"expected one embedder, found other.onnx, {EMBEDDER}; " in done.stderr
    assert done.stderr.endswith("; delete there what is not of buffalo_sc\n")
    assert "buffalo_sc -> " not in done.stdout
    other.unlink()
    download()
    assert len(server.asked) == 1
    check(tmp_path / "models")


def test_a_scheme_in_upper_case(download: Callable[..., Any], server: Server, tmp_path: Path) -> None:
    download("--mirror", server.url.replace("http", "HTTP"))
    check(tmp_path / "models")


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
