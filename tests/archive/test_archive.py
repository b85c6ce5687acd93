"""Archives: exact answers whatever the order, whole files whenever it is killed, refusals in a line."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from castsearch.archive import Archive, ArchiveError, Embedder, FilmFaces, Hit, index
from castsearch.archive import films as films_room
from castsearch.archive.films import ChangedError, FilmFile, mixed, packed, read_film
from tests.archive.faces_of import EMBEDDER, WIDTH, film, films, people, unit
from tests.conftest import ROOT

pytest.importorskip("faiss")


def archive_of(folder: Path, kept: Iterable[FilmFaces]) -> Archive:
    archive = Archive.begin(folder, EMBEDDER)
    for one in kept:
        archive.add(one)
    return archive


def portrait(person: int, seed: int = 0) -> np.ndarray:
    return unit(people()[[person]] + 0.3 * np.random.default_rng(seed).normal(size=(1, WIDTH)))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def plainly(kept: Iterable[FilmFaces], portraits: np.ndarray, count: int) -> list[tuple[float, str, float, int]]:
    """The best faces by comparing all of them, one by one, in the precision that the archive keeps."""
    found = []
    for one in kept:
        similarity = one.features.astype(np.float16).astype(np.float64) @ portraits.T.astype(np.float64)
        best = similarity.argmax(axis=1)
        found += [
            (-similarity[row, which], one.name, one.seconds[row], int(which)) for row, which in enumerate(best.tolist())
        ]
    return sorted(found)[:count]


def as_plain(hit: Hit) -> tuple[float, str, float, int]:
    assert hit.seconds is not None
    return pytest.approx(-hit.similarity, abs=1e-12), hit.film, hit.seconds, hit.portrait


# ---------------------------------------------------------------------------- answers


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("count", [1, 100, 5000])
def test_the_best_faces_are_those_of_comparing_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, keep: bool
) -> None:
    monkeypatch.setattr(index, "BLOCK", 700 * WIDTH)  # two films a block
    monkeypatch.setattr(index, "_LEAST", 3)
    archive = archive_of(tmp_path / "library", films())
    opened = archive.index(keep)
    for person in range(0, 60, 20):
        portraits = np.concatenate([portrait(person), portrait(person, seed=1)])
        expected = plainly(films(), portraits, count)
        found = opened.faces(portraits, count)
        assert [as_plain(hit) for hit in found] == expected and len(found) == min(count, 2400)


def test_codes_far_off_overlook_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features along one axis of the codes: all of them are cut off, and the same code."""
    monkeypatch.setattr(index, "_LEAST", 2)
    axis = mixed(np.eye(WIDTH)).T[0]  # mixed(axis) is (1, 0, ...)
    rows = unit(axis + 0.01 * np.random.default_rng(0).normal(size=(300, WIDTH)))
    one = replace(film(0), features=rows)
    archive = archive_of(tmp_path / "library", [one])
    (file,) = archive.films()
    assert file.lost > 0.25
    query = unit(axis[None] + 0.02)
    assert [as_plain(hit) for hit in archive.index().faces(query, 5)] == plainly([one], query, 5)


def test_faces_that_codes_cannot_tell_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are compared by their features, though a search by codes was asked for few."""
    monkeypatch.setattr(index, "_LEAST", 1)
    rows = unit(people()[:1] + 1e-3 * np.random.default_rng(0).normal(size=(300, WIDTH)))
    kept = [film(0, 5), replace(film(1), features=rows)]
    found = archive_of(tmp_path / "library", kept).index().faces(rows[-1:], 3)
    assert [as_plain(hit) for hit in found] == plainly(kept, rows[-1:], 3)


def test_what_codes_lose_is_that_of_the_film_that_loses_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest faces are cut off in their codes, and other films' are nearer by codes."""
    monkeypatch.setattr(index, "_LEAST", 1)
    axis, side = mixed(np.eye(WIDTH)).T[0], mixed(np.ones((1, WIDTH)))[0]
    side = unit((side - axis * (side @ axis))[None])[0]
    noise = 0.01 * np.random.default_rng(0).normal(size=(300, WIDTH))
    near, cut = (unit(part * axis + (1 - part**2) ** 0.5 * side + noise) for part in (0.7, 0.9))
    kept = [replace(film(number), features=rows) for number, rows in enumerate((near, cut))]
    query = unit((0.9 * axis + 0.19**0.5 * side)[None])
    found = archive_of(tmp_path / "library", kept).index().faces(query, 5)
    assert {hit.film for hit in found} == {"film001"}
    assert [as_plain(hit) for hit in found] == plainly(kept, query, 5)
    mixture = replace(film(2), features=np.concatenate([near[:-1], cut[:1]]))
    (best,) = archive_of(tmp_path / "one", [mixture]).index().faces(query, 1)
    assert [as_plain(best)] == plainly([mixture], query, 1) and best.seconds == 299


def test_what_a_portraits_code_loses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest face is like the portrait in what is too little for its code, and another is nearer by codes."""
    monkeypatch.setattr(index, "_LEAST", 1)
    codes = mixed(np.eye(WIDTH)).T  # mixed(codes[0]) is (1, 0, ...)
    axis, side = codes[0], codes[1:].sum(axis=0) / (WIDTH - 1) ** 0.5
    query = unit((axis + 0.49 / 127 * (WIDTH - 1) ** 0.5 * side)[None])
    near = 0.5 * axis + 0.75**0.5 * side
    part = float(near @ query[0]) - 0.002
    others = [part * axis + ((1 - part**2) / 2) ** 0.5 * (codes[n] - codes[n + 1]) for n in (1, 3, 5, 7)]
    one = replace(film(0, 5), features=unit(np.stack([near, *others])))
    found = archive_of(tmp_path / "library", [one]).index().faces(query, 1)
    assert [as_plain(hit) for hit in found] == plainly([one], query, 1) and found[0].seconds == 0


def test_the_last_that_is_asked_for_is_far_behind(tmp_path: Path) -> None:
    one = replace(film(0, 5), features=np.eye(5, WIDTH, dtype=np.float32))
    query = unit(2.0 ** -np.arange(WIDTH)[None])
    opened = archive_of(tmp_path / "library", [one]).index()
    for count in (2, 3):
        assert [as_plain(hit) for hit in opened.faces(query, count)] == plainly([one], query, count)


def test_films_of_all_sizes_in_one_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "BLOCK", 1)
    kept = [film(number, faces) for number, faces in enumerate((300, 5, 200, 10, 5, 100))]
    opened = archive_of(tmp_path / "library", kept).index()
    for person in range(10):
        found = opened.faces(portrait(person), 50)
        assert [as_plain(hit) for hit in found] == plainly(kept, portrait(person), 50)


@pytest.mark.parametrize(("keep", "times"), [(True, 1), (False, 3)])
def test_codes_are_read_once_where_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool, times: int
) -> None:
    reads: list[str] = []
    read = FilmFile.read_codes
    monkeypatch.setattr(FilmFile, "read_codes", lambda self, into: (reads.append(self.name), read(self, into)))
    opened = archive_of(tmp_path / "library", films(2)).index(keep)
    for person in range(3):
        opened.faces(portrait(person), 600)
    assert sorted(reads) == ["film000"] * times + ["film001"] * times


def test_tracks_of_many_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_LEAST", 2)
    same = replace(film(1), features=film(1).features[:1].repeat(300, axis=0), tracks=np.arange(300) // 100)
    hits = archive_of(tmp_path / "library", [same]).search(same.features[:1], 3)
    assert [(hit.track, hit.seconds) for hit in hits] == [(0, 0.0), (1, 100.0), (2, 200.0)]


def test_a_line_a_track(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films())
    tracks = archive.search(portrait(7), 12)
    best: dict[tuple[str, int | None], Hit] = {}
    for hit in archive.index().faces(portrait(7), 2400):
        best.setdefault((hit.film, hit.track), hit)
    assert tracks == list(best.values())[:12] and len(tracks) == 12


def test_where_tracks_are_unknown_a_line_a_frame(tmp_path: Path) -> None:
    unknown = replace(
        film(1), tracks=np.full(300, -1), seconds=np.full(300, np.nan), frames=("a",) * 150 + ("b",) * 150
    )
    hits = archive_of(tmp_path / "library", [unknown]).search(portrait(3), 10)
    assert {(hit.frame, hit.track, hit.seconds) for hit in hits} == {("a", None, None), ("b", None, None)}
    assert len(hits) == 2


def test_equal_faces_go_by_film_moment_and_box(tmp_path: Path) -> None:
    same = replace(film(1), features=film(1).features[:1].repeat(300, axis=0), tracks=np.arange(300))
    same = replace(same, name="a-b")  # the file's name stands before that of a
    backwards = FilmFaces(
        "a", "/work", same.features, same.seconds[::-1], same.boxes[::-1], same.tracks, same.frames[::-1]
    )
    found = archive_of(tmp_path / "library", [same, backwards]).index().faces(same.features[:2], 302)
    places = [(hit.film, hit.seconds) for hit in found]
    assert places == [*(("a", float(n)) for n in range(300)), ("a-b", 0.0), ("a-b", 1.0)]
    assert found[0].box == tuple(same.boxes[0].tolist())
    assert {hit.portrait for hit in found} == {0}


# ---------------------------------------------------------------------------- the same whatever was before


def test_neither_order_nor_what_was_removed_shows(tmp_path: Path) -> None:
    one = archive_of(tmp_path / "one", films())
    other = archive_of(tmp_path / "other", [film(20), *reversed(list(films()))])
    assert other.add(film(3)) == "unchanged"
    assert other.add(replace(film(3), seconds=film(3).seconds + 1)) == "replaced"
    assert other.add(film(3)) == "replaced"
    other.remove("film020")
    assert contents(one.folder) == contents(other.folder)
    assert one.search(portrait(5), 20) == other.search(portrait(5), 20)


@pytest.mark.parametrize(
    "one",
    [
        film(2),
        replace(film(2), seconds=np.zeros(300), boxes=np.zeros((300, 4)), tracks=np.zeros(300), frames=("",) * 300),
    ],
)
def test_the_order_of_faces_does_not_show(one: FilmFaces) -> None:
    order = np.random.default_rng(0).permutation(300)
    shuffled = FilmFaces(
        one.name,
        one.source,
        one.features[order],
        one.seconds[order],
        one.boxes[order],
        one.tracks[order],
        tuple(one.frames[row] for row in order),
    )
    assert packed(one) == packed(shuffled)


def test_adding_touches_no_other_film(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(3))
    before = {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*") if path.is_file()}
    archive.add(film(3))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_film_replaced_while_an_index_is_open(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(2))
    opened = archive.index()
    assert opened.faces(portrait(1), 5)
    archive.add(replace(film(1), seconds=film(1).seconds + 5))
    with pytest.raises(ChangedError):
        opened.faces(portrait(1), 600)
    assert len(archive.search(portrait(1), 600)) == 120


def test_the_file_is_what_other_programs_read(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    (path,) = archive_of(tmp_path / "library", [film(4)]).paths()
    arrays = load_file(path)
    assert np.array_equal(arrays["exact"], film(4).features.astype(np.float16))
    assert np.abs(mixed(film(4).features) - (arrays["codes"] - 128.0) * (5 / WIDTH**0.5 / 127)).max() < 0.06
    assert bytes(arrays["frames"]).decode().split("\n") == list(film(4).frames)


# ---------------------------------------------------------------------------- killed

# Begins a process for each line that it reads, and tells its number and when it has ended.
ADD = """
import os, sys
from pathlib import Path
from castsearch.archive import Archive
from tests.archive.faces_of import film
films = [film(number, 1500) for number in range(2, 12)]
for _ in sys.stdin:
    child = os.fork()
    if not child:
        archive = Archive.open(Path(sys.argv[1]))
        archive.remove_leftovers()
        for one in films:
            archive.add(one)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def test_killed_twenty_times_while_adding(tmp_path: Path) -> None:
    """After each kill each film is there whole or not at all; the next run ends with an undisturbed one's bytes."""
    before = [film(number, 1500) for number in range(2)]
    whole = archive_of(tmp_path / "whole", [*before, *(film(number, 1500) for number in range(2, 12))])
    killed = archive_of(tmp_path / "killed", before)
    expected, first = contents(whole.folder), contents(killed.folder)
    command = [sys.executable, "-c", ADD, str(killed.folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None

        def run(seconds: float | None) -> float:
            """How long it took; it is killed after so long."""
            process.stdin.write("\n")
            process.stdin.flush()
            number, start = int(process.stdout.readline()), time.monotonic()
            if seconds is not None:
                time.sleep(seconds)
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            assert process.stdout.readline() == "ended\n"
            return time.monotonic() - start

        wait, cut_short = random.Random(0), 0
        lasts = run(None)
        for _ in range(20):
            for name in expected.keys() - first.keys():
                (killed.folder / name).unlink(missing_ok=True)
            run(wait.uniform(0, lasts))
            found = {name: data for name, data in contents(killed.folder).items() if "/." not in name}
            assert found.items() <= expected.items() and first.items() <= found.items()
            assert len(killed.search(portrait(5), 3)) == 3
            cut_short += len(found) < len(expected)
        run(None)
        process.stdin.close()
    assert contents(killed.folder) == expected
    assert cut_short >= 5, "the runs were done before"


# ---------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": np.zeros((0, WIDTH), np.float32)}, "no face of it has features"),
        ({"features": film(1).features * 2}, "features are not of unit length"),
        ({"features": film(1).features * np.nan}, "features are not of unit length"),
        ({"features": unit(np.ones((300, 7)))}, "its features have 7 numbers, those of the archive 48"),
        ({"source": "/elsewhere", "name": "film000"}, "there is one of this name already, from /work; remove that"),
        ({"name": "FILM000"}, "there is a film film000; rename one of them"),
        ({"name": "a/b"}, "rename it"),
        ({"name": ".film"}, r"film .film begins with a dot, as hidden files do; rename it"),
    ],
)
def test_films_that_cannot_be_kept(tmp_path: Path, change: dict[str, object], words: str) -> None:
    archive = archive_of(tmp_path / "library", films(1))
    before = contents(archive.folder)
    with pytest.raises(ArchiveError, match=words):
        archive.add(replace(film(1), **change))  # type: ignore[arg-type]
    assert contents(archive.folder) == before


def test_another_embedder(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", [])
    archive.check_embedder(Embedder("a folder", EMBEDDER.digests), "film a")
    with pytest.raises(ArchiveError, match=r"^film a: its faces were embedded by that of open, those of .* of dlib"):
        archive.check_embedder(Embedder("open", ("4567",)), "film a")


def test_damaged_films(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(2))
    path = archive.paths()[0]
    data = path.read_bytes()
    rng = random.Random(0)
    harmed = [data[:4], data[:100], data[:-1], b"", b"\xff" * 100, b"\0" * 5 + b"\1" * 100, data[:8] + b"[" * 3000]
    for _ in range(200):  # bytes of the header
        at = rng.randrange(8, 900)
        harmed.append(data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :])
    refused = 0
    for content in harmed:
        path.write_bytes(content)
        try:
            read_film(path)
        except ArchiveError as error:
            refused += 1
            assert str(error).endswith("is no film of an archive, or damaged; remove it and add the film again")
    assert refused > 100
    for content, name in ((data.replace(b'"F16"', b'"I16"'), path.name), (data, "other.safetensors")):
        with pytest.raises(ArchiveError, match="is no film of an archive, or damaged"):
            other = tmp_path / name
            other.write_bytes(content)
            read_film(other)
    path.write_bytes(data[:-1])
    with pytest.raises(ArchiveError):
        archive.search(portrait(1), 5)
    assert archive.add(film(0)) == "replaced"
    assert path.read_bytes() == data


@pytest.mark.parametrize(("array", "byte"), [("exact", 0), ("exact", 255), ("frames", 0), ("frames", 255)])
def test_a_film_whose_content_is_damaged(tmp_path: Path, array: str, byte: int) -> None:
    """It is named; no search goes on as if nobody were there, in it or in other films."""
    archive = archive_of(tmp_path / "library", films(2))
    file = read_film(archive.paths()[1])
    data, start, end = file.path.read_bytes(), file.starts[array], file.starts[array] + file.lengths[array]
    file.path.write_bytes(data[:start] + bytes([byte]) * (end - start) + data[end:])
    with pytest.raises(ArchiveError, match=r"film001.safetensors: is damaged; remove it and add the film again"):
        archive.search(film(1).features[:1], 5)
    assert archive.add(film(1)) == "replaced"


@pytest.mark.parametrize(("array", "kind", "value"), [("boxes", "f4", np.nan), ("seconds", "f8", np.inf)])
def test_a_film_whose_places_are_none(tmp_path: Path, array: str, kind: str, value: float) -> None:
    archive = archive_of(tmp_path / "library", films(1))
    file = read_film(archive.paths()[0])
    data = bytearray(file.path.read_bytes())
    np.frombuffer(data, kind, 1, file.starts[array])[0] = value
    file.path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"film000.safetensors: is damaged"):
        archive.search(film(0).features[:1], 5)


def test_a_damaged_film_keeps_no_other_out(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(2))
    archive.paths()[0].write_bytes(b"")
    assert archive.add(film(2)) == "added"
    with pytest.raises(ArchiveError, match="its features have 7 numbers, those of the archive 48"):
        archive.add(replace(film(3), features=unit(np.ones((300, 7)))))


def test_one_face_is_damaged(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(1))
    file = read_film(archive.paths()[0])
    data, start = file.path.read_bytes(), file.starts["exact"] + 7 * 2 * WIDTH
    file.path.write_bytes(data[:start] + bytes(2 * WIDTH) + data[start + 2 * WIDTH :])
    with pytest.raises(ArchiveError, match=r"film000.safetensors: is damaged"):
        archive.search(film(0).features[7:8], 5)


def test_a_film_without_faces_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is added, but a file may hold none."""
    monkeypatch.setattr(index, "BLOCK", 1)
    archive = archive_of(tmp_path / "library", [film(1)])
    (archive.folder / "films/film000.safetensors").write_bytes(packed(film(0, 0)))
    assert len(archive.search(portrait(1), 5)) == 5


def test_a_film_whose_source_is_long(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", [film(0, source="/work" * 1000)])
    assert [one.source for one in archive.films()] == ["/work" * 1000]


def test_what_is_no_file_in_the_place_of_a_film(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(1))
    pipe, link = (archive.folder / "films" / f"{name}.safetensors" for name in ("pipe", "link"))
    os.mkfifo(pipe)
    (archive.folder / "films/.snapshots").mkdir()
    with pytest.raises(ArchiveError, match="is a pipe or a device"):
        archive.search(portrait(1), 5)
    archive.remove("pipe")
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ArchiveError, match="is a link that leads nowhere"):
        archive.search(portrait(1), 5)
    archive.remove("link")
    archive.remove_leftovers()
    assert archive.search(portrait(1), 5)


def test_a_portrait_of_another_embedder(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"film000\.safetensors: its features have 48 numbers, the portrait's 7"):
        archive_of(tmp_path / "library", films(1)).search(unit(np.ones((1, 7))), 5)


def test_a_film_removed_while_films_are_looked_for(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", films(1))
    with pytest.raises(ChangedError):
        index.FaceIndex([*archive.paths(), archive.folder / "films/gone.safetensors"])


def test_a_film_removed_just_before_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = archive_of(tmp_path / "library", films(2))
    plainly_opened = films_room.open_plain

    def removed_first(path: Path) -> BinaryIO:
        if path.stem == "film001":
            path.unlink(missing_ok=True)
        return plainly_opened(path)

    monkeypatch.setattr(films_room, "open_plain", removed_first)
    assert [one.name for one in archive.films()] == ["film000"]
    archive.add(film(1))
    assert {hit.film for hit in archive.search(portrait(1), 600)} == {"film000"}


def test_one_look_through_the_faces_finds_the_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    faces = index.FaceIndex.faces
    monkeypatch.setattr(index.FaceIndex, "faces", lambda self, *args: looks.append(args[1]) or faces(self, *args))
    assert len(archive_of(tmp_path / "library", films()).search(portrait(7), 20)) == 20
    assert looks == [128]


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="is no archive of films; add a film to it first"):
        Archive.open(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ArchiveError, match=r"holds notes.txt, and is no archive"):
        Archive.begin(tmp_path, EMBEDDER)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "archive.json")
    with pytest.raises(ArchiveError):
        Archive.open(tmp_path)
    (tmp_path / "archive.json").write_text('{"format": 2, "pack": "dlib", "embedder": ["1"]}')
    with pytest.raises(ArchiveError, match="is of a later version, 2"):
        Archive.open(tmp_path)


def test_films_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "library", [])
    (archive.folder / "films").touch()
    for look in (lambda: archive.search(portrait(1), 5), lambda: list(archive.films())):
        with pytest.raises(ArchiveError, match=r"films: cannot be read \(Not a directory\)"):
            look()


def test_an_archive_without_films(tmp_path: Path) -> None:
    assert archive_of(tmp_path / "library", []).search(portrait(1), 5) == []
