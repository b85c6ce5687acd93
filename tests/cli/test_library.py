"""library.py from end to end: a searched film with the small networks of the test data, and a split's stage files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.archive import Archive, Embedder, people
from castsearch.archive.people import joined, known_people, name_person, portraits_of
from castsearch.archive.sources import of_search, of_stages
from castsearch.faces import open_pack
from castsearch.movies.errors import MovieError
from castsearch.movies.finding import CHECKPOINTS, MODE, Depends
from castsearch.movies.layout import times_file
from castsearch.movies.portraits import Person, read_portraits
from castsearch.movies.scanned import read_scan, write_scan
from castsearch.stagefiles import Faces, MoviePictures, Picture, Split
from castsearch.stagefiles.locks import alone
from scripts import films
from tests.archive.faces_of import film
from tests.cli.here import Run, runs_here
from tests.conftest import ROOT
from tests.movies.clips import write_video
from tests.movies.tracks_of import scan, sighting, track

pytest.importorskip("faiss")

SCRIPT = "scripts/library.py"
WIDTH = 128  # of dlib's features


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    return runs_here(monkeypatch, capfd)


@pytest.fixture(scope="module")
def identity() -> dict[str, object]:
    """What dlib's embedder is."""
    return dict(open_pack("dlib").identity("embedder"))


def rows(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


Searched = Callable[..., Path]


@pytest.fixture
def searched(tmp_path: Path, identity: dict[str, object]) -> Searched:
    """Writes what a search of a film leaves: two tracks of two faces, and one whose face was not seen."""

    def write(name: str = "film", seed: int = 0, embedder: object = identity) -> Path:
        work = tmp_path / "work"
        seen = [sighting(n, face=(30 + n, 15, 50, 40), good=True, frame=f"shot0001img{n}") for n in range(4)]
        features = rows(4, seed)
        parts = [
            scan([track(1, seen[:2], features[:2], d=WIDTH)]),
            scan([track(1, seen[2:], features[2:], d=WIDTH), track(2, [sighting(9)], d=WIDTH)]),
        ]
        faces = embedder and ({}, embedder, {})
        depends = Depends(2, "film", "25", "adaptive", "", "ssdlite", faces, {}, {}, {})
        for number, part in enumerate(parts):
            write_scan(work / CHECKPOINTS / name / f"{number:05d}.npz", part, depends)
        path = times_file(work, MODE)
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = {
            "rate": "25",
            "time_base": str(Fraction(1, 25)),
            "duration": 10,
            "shots": [[0, 5], [5, 10]],
            "frames": {f"shot0001img{n}": n for n in range(4)},
            "tracks": {f"{name}_{n}": n // 2 for n in range(4)},
        }
        path.write_text(json.dumps(known))
        return work

    return write


# ---------------------------------------------------------------------------- searched films


def test_films_of_a_search(script: Run, searched: Searched, tmp_path: Path) -> None:
    library, work = tmp_path / "library", searched()
    flags = ("--library", library, "--work", work)
    assert "film: added, 4 faces" in script(SCRIPT, "add", *flags, "--model", "dlib").stdout
    assert script(SCRIPT, "add", *flags, "film").stdout == "film: unchanged, 4 faces\n"
    searched("second", seed=1)
    assert script(SCRIPT, "add", *flags).stdout == "film: unchanged, 4 faces\nsecond: added, 4 faces\n"
    searched(seed=2)
    assert script(SCRIPT, "add", *flags, "film").stdout == "film: replaced, 4 faces\n"
    (found,) = of_search(work, ["film"])
    assert found.film.seconds.tolist() == [0, 1, 2, 3] and found.film.tracks.tolist() == [0, 0, 1, 1]
    assert found.film.boxes[2].tolist() == [32, 15, 50, 40] and found.film.frames[3] == "shot0001img3"
    assert np.array_equal(found.film.features, rows(4, seed=2))
    listed = script(SCRIPT, "--library", library, "list").stdout.splitlines()
    assert listed[0] == f"{library}: 2 films, 8 faces as dlib embeds them"
    assert listed[1].startswith("  film: 4 faces, added ") and listed[1].endswith(f" from {work}")
    assert script(SCRIPT, "remove", "--library", library, "film").stdout == "film: removed\n"
    assert "1 films" in script(SCRIPT, "list", "--library", library).stdout
    # Nothing that a run leaves stands beside the archive or in it.
    assert sorted(path.name for path in library.rglob("*")) == ["archive.json", "films", "second.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["library", "work"]


def test_searches_that_cannot_be_added(script: Run, searched: Searched, tmp_path: Path) -> None:
    library, work = tmp_path / "library", searched()
    flags = ("add", "--library", library, "--work", work, "--model", "dlib")

    def refused(*args: object) -> str:
        return script(SCRIPT, *args, code=2).stderr.removeprefix("error: ").rstrip("\n")

    assert refused(*flags, "nosuch") == f"{work}: no film nosuch was searched there; there is film"
    assert refused("add", "--library", library, "--work", tmp_path).startswith(
        f"{tmp_path}: no film was searched there"
    )
    assert refused("add", "--library", library).startswith("add takes films of --work DIR, or of --data DIR and --mode")
    folder = work / CHECKPOINTS / "film"
    kept = (folder / "00001.npz").read_bytes()
    (folder / "00001.npz").unlink()
    assert refused(*flags) == f"{folder}: the film was not searched to the end; run the same search again"
    (folder / "00001.npz").write_bytes(kept[:100])
    assert refused(*flags) == f"{folder}/00001.npz: is no part of a scan; run the same search again"
    (folder / "00001.npz").write_bytes(kept)
    told = json.loads(str(np.load(folder / "00001.npz")["depends"]))
    again = read_scan(folder / "00001.npz", told)
    assert again is not None
    write_scan(folder / "00001.npz", again, [told[0], "what the film was before", *told[2:]])
    assert refused(*flags) == f"{folder}: the film was not searched to the end; run the same search again"
    searched(embedder=None)
    assert refused(*flags) == f"{folder}: the film was searched without faces; search it again"
    searched(embedder={"sha256": {"other.dat": "0123"}})
    assert refused(*flags) == "film film: another pack than dlib embedded its faces; name that one by --model"
    assert not (library / "archive.json").exists()
    searched("second")
    script(SCRIPT, *flags, "second")
    assert refused(*flags, "film").startswith("film film: its faces were embedded by another one, those of ")
    assert refused("list", "--library", work) == f"{work}: is no archive of films; add a film to it first"
    none = tmp_path / "mistyped"
    for command in (("remove", "film"), ("name", "Joey", "--portrait", work / "joey.jpg")):
        assert refused(*command, "--library", none) == f"{none}: is no archive of films; add a film to it first"
    assert not none.exists()


# ---------------------------------------------------------------------------- a split's stage files


def stage_files(data: Path, identity: object) -> np.ndarray:
    """One movie of a portrait and three crops, the second of which shows no face."""

    def faces(*boxes: tuple[int, int, int, int]) -> Faces:
        return Faces(np.array(boxes, np.float32), np.ones(len(boxes), np.float32), None)

    crops = [f"m/candidates/shot0001img{n}_{100 * n}_20_60_120.jpg" for n in range(3)]
    # Of two faces in a crop the one that stands where a person's head is counts: see faces.selection.
    found = [faces((0, 80, 20, 110), (20, 20, 40, 50)), None, faces((10, 10, 40, 50))]
    candidates = [Picture(f"m_{n}", file, None, face) for n, (file, face) in enumerate(zip(crops, found, strict=True))]
    movie = MoviePictures("m", (Picture("m_nm1", "m/cast/nm1.jpg", "nm1", faces((0, 0, 9, 9))),), tuple(candidates))
    stagefiles.write_retina(data / "retina_val.pkl", Split([movie]))
    features = rows(4) * 3
    stagefiles.write(data / "face_val.pkl", {"m": features}, identity and {"embedder": identity, "model": "dlib"})
    return features


def test_movies_of_a_split(script: Run, identity: dict[str, object], tmp_path: Path) -> None:
    data, library = tmp_path / "data", tmp_path / "library"
    features = stage_files(data, identity)
    flags = ("add", "--library", library, "--data", data, "--mode", "val")
    assert "m: added, 2 faces" in script(SCRIPT, *flags).stdout
    (found,) = of_stages(data, "val", ["m"])
    assert found.film.boxes.tolist() == [[20, 40, 40, 70], [210, 30, 240, 70]]
    assert found.film.features == pytest.approx(features[[1, 3]] / np.linalg.norm(features[[1, 3]], axis=1)[:, None])
    assert np.isnan(found.film.seconds).all() and found.film.tracks.tolist() == [-1, -1]
    assert found.film.frames == ("shot0001img0", "shot0001img2")
    assert "has no movie n; check the name" in script(SCRIPT, *flags, "n", code=2).stderr
    times = {"rate": "25", "time_base": "1/25", "duration": 9, "shots": [[0, 9]]}
    known = {"m": times | {"frames": {"shot0001img0": 4.5}, "tracks": {"m_2": 7}}}
    (data / "val_times.json").write_text(json.dumps(known))
    assert script(SCRIPT, *flags).stdout == "m: replaced, 2 faces\n"
    (found,) = of_stages(data, "val", [])
    assert found.film.seconds[0] == 4.5 and found.film.tracks.tolist() == [-1, 7]


def test_features_of_an_unknown_embedder(script: Run, tmp_path: Path) -> None:
    data, library = tmp_path / "data", tmp_path / "library"
    stage_files(data, None)
    flags = ("add", "--library", library, "--data", data, "--mode", "val")
    assert script(SCRIPT, *flags, code=2).stderr == (
        "error: the face features: nothing beside them tells what embedded them; name the pack by --model\n"
    )
    assert not list(library.iterdir()), "an archive that is of a pack that nobody named"
    assert "m: added, 2 faces" in script(SCRIPT, *flags, "--model", "dlib").stdout


def test_a_movie_without_faces_keeps_no_other_out(script: Run, identity: dict[str, object], tmp_path: Path) -> None:
    data, library = tmp_path / "data", tmp_path / "library"
    stage_files(data, identity)
    (movie,) = stagefiles.read_retina(data / "retina_val.pkl").values()
    cast, candidates = (tuple(replace(one, id=f"a{one.id}") for one in some) for some in (movie.cast, movie.candidates))
    faceless = replace(movie, name="a", cast=cast, candidates=tuple(replace(one, faces=None) for one in candidates))
    stagefiles.write_retina(data / "retina_val.pkl", Split([faceless, movie]))
    metadata = stagefiles.read_metadata(data / "face_val.pkl")
    stagefiles.write(data / "face_val.pkl", {"a": rows(4), "m": rows(4)}, metadata)
    flags = ("add", "--library", library, "--data", data, "--mode", "val")
    assert "film a: no face of it has features; there is nothing" in script(SCRIPT, *flags, "a", code=2).stderr
    assert not list(library.iterdir())
    done = script(SCRIPT, *flags)
    assert done.stderr == "warning: film a: no face of it has features; left out\n" and "m: added" in done.stdout


def test_no_terminal_obeys_what_an_archive_holds(script: Run, tmp_path: Path) -> None:
    archive = Archive.begin(tmp_path / "library", Embedder("dlib", ("0",)))
    archive.add(film(1, source="/work\x1b[2J\n"))
    listed = script(SCRIPT, "list", "--library", archive.folder).stdout
    assert listed.endswith(" from /work?[2J?\n")


# ---------------------------------------------------------------------------- people


@pytest.fixture
def small_pack(testdata: Path, tmp_path: Path) -> Path:
    """A folder with the two small networks."""
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        shutil.copytree(testdata / "models" / name, tmp_path / "pack", dirs_exist_ok=True)
    return tmp_path / "pack"


def test_people_across_films(script: Run, testdata: Path, small_pack: Path, tmp_path: Path) -> None:
    """A portrait finds its own face; who is named once is looked for in a later film, beside a folder's people."""
    data, library, folder = tmp_path / "data", tmp_path / "library", tmp_path / "portraits"
    for name in ("Joey/1", "Joey/2", "Ross/1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(testdata / f"data/clips/friends/portraits/{name}.jpg", folder / f"{name}.jpg")
    pack = open_pack(str(small_pack), -1)
    joey, ross = read_portraits(folder, pack).people
    embedder = pack.identity("embedder")
    stage_files(data, embedder)
    features = np.concatenate([rows(2), ross.features, joey.features[1:]])
    stagefiles.write(data / "face_val.pkl", {"m": features}, {"embedder": embedder, "model": str(small_pack)})
    script(SCRIPT, "add", "--library", library, "--data", data, "--mode", "val")
    told = tmp_path / "told.json"

    def run(command: str, *flags: object, code: int = 0) -> str:
        done = script(SCRIPT, command, *flags, "--library", library, "--quiet", code=code)
        return done.stdout if code == 0 else done.stderr

    table = run("search", "--portrait", *joey.files, "--json", told, "--top", 1)
    header, line = table.splitlines()
    assert header.split() == ["rank", "similarity", "film", "moment", "frame", "x,y,width,height", "portrait"]
    assert line.split() == ["1", "1.000", "m", "-", "shot0001img2", "210,30,30,40", "2.jpg"]
    (best,) = json.loads(told.read_text())
    assert best["similarity"] == pytest.approx(1, abs=1e-3) and best["portrait"] == str(joey.files[1])

    before = (library / "archive.json").read_bytes()
    taken = run("search", "--portrait", joey.files[0], "--json", library / "archive.json", code=2)
    assert "there is a file that is not a list of tracks" in taken
    assert (library / "archive.json").read_bytes() == before
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/jo\xe9.jpg"))
    latin.write_bytes(joey.files[0].read_bytes())
    run("search", "--portrait", latin, "--json", told)
    assert json.loads(told.read_text())[0]["portrait"] == str(latin)

    assert run("name", "Joey", "--portrait", *joey.files).splitlines()[-1] == "Joey: 2 of 2 portraits are new"
    assert run("name", "Joey", "--portrait", joey.files[0]) == "Joey: 0 of 1 portraits are new\n"
    taken = run("name", "Ross", "--portrait", joey.files[0], code=2)
    assert taken == f"error: {joey.files[0]}: is kept as a portrait of Joey; give Ross another\n"
    near = run("name", "joey", "--portrait", ross.files[0], code=2)
    assert near == "error: joey: there is Joey; write the name as it is there\n"
    assert (library / "people/Joey/2.jpg").read_bytes() == joey.files[1].read_bytes()
    (library / "people/Joey/1.jpg").unlink()
    assert run("name", "Joey", "--portrait", joey.files[0]).startswith(f"{library}/people/Joey/3.jpg\n")
    assert (library / "people/Joey/2.jpg").read_bytes() == joey.files[1].read_bytes()
    (library / "people/Joey/Thumbs.db").touch()  # as file managers leave them
    (library / "people/Joey/@eaDir").mkdir()
    assert run("search", "--person", "Joey", "--top", 1) == table
    assert run("name", "Joey", "--portrait", joey.files[0]) == "Joey: 0 of 1 portraits are new\n"

    whom = joined(read_portraits(folder, pack), known_people(library, pack))
    assert [(person.name, len(person.features)) for person in whom.people] == [("Joey", 4), ("Ross", 1)]
    other = tmp_path / "other/Chandler.jpg"
    other.parent.mkdir()
    other.write_bytes(joey.files[1].read_bytes())
    with pytest.raises(MovieError, match=r"people/Joey/2\.jpg: is the same picture as .*Chandler\.jpg; give Joey and"):
        joined(read_portraits(other.parent, pack), known_people(library, pack))
    near = run("remove", "m", "--person", "Jo", code=2)
    assert near == f"error: {library}: knows nobody called Jo; look for the name among its people\n"
    assert run("list").startswith(f"{library}: 1 films")
    assert "begins with a dot" in run("name", ".x", "--portrait", ross.files[0], code=2)
    assert run("remove", "--person", "Joey ") == "Joey : removed\n"
    assert not list((library / "people").iterdir())
    assert "knows nobody called Joey" in run("remove", "--person", "Joey", code=2)


def test_find_cast_takes_its_cast_from_an_archive(script: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a folder of portraits; the face pack is the archive's unless another is named."""
    asked: list[object] = []

    def open_models(*args: object) -> None:
        asked.append(args[0])
        raise MovieError("seen")

    film = write_video(tmp_path / "film.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    Archive.begin(tmp_path / "library", Embedder("some pack", ("0",)))
    monkeypatch.setattr(films, "open_models", open_models)
    flags = ("--video", film, "--out", tmp_path / "out")
    assert "nobody is looked for" in script("scripts/find_cast.py", *flags, code=2).stderr
    script("scripts/find_cast.py", *flags, "--library", tmp_path / "library", code=2)
    script("scripts/find_cast.py", *flags, "--library", tmp_path / "library", "--model", "dlib", code=2)
    script("scripts/find_cast.py", *flags, "--portraits", tmp_path / "people", code=2)
    assert asked == ["some pack", "dlib", None]
    assert "is no archive of films" in script("scripts/find_cast.py", *flags, "--library", tmp_path, code=2).stderr


def test_results_do_not_lie_among_people(script: Run, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    Archive.begin(tmp_path / "out/unknown", Embedder("dlib", ("0",)))
    flags = ("scripts/find_cast.py", "--video", film, "--library", tmp_path / "out/unknown", "--out")
    assert "what lies there is written anew" in script(*flags, tmp_path / "out", code=2).stderr
    assert "would be taken for some" in script(*flags, tmp_path / "out/unknown/people", code=2).stderr


@pytest.mark.parametrize("before", [0, 1])
def test_a_person_whose_naming_was_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: int) -> None:
    """Nobody is left without portraits, whom a search of a film would stumble over; the next run leaves nothing."""
    library = tmp_path / "library"
    files = [write_bytes(tmp_path / f"{number}.jpg", number) for number in range(3)]
    monkeypatch.setattr(people, "read_person", lambda name, files, _: Person(name, name, tuple(files), rows(1)))
    name_person(library, "Zoe\u0308", files[:before], None)  # type: ignore[arg-type]
    written = people.atomic_write

    def killed(path: Path) -> object:
        if path.name == f"{before + 1}.jpg":
            path.parent.mkdir(exist_ok=True)
            (path.parent / f".{path.name}.abcdefgh").touch()
            raise KeyboardInterrupt
        return written(path)

    monkeypatch.setattr(people, "atomic_write", killed)
    (library / "people").mkdir(parents=True, exist_ok=True)
    with pytest.raises(KeyboardInterrupt):
        name_person(library, "Zo\u00eb", files, None)  # type: ignore[arg-type]
    assert [path.name for path in (library / "people").iterdir() if path.name[0] != "."] == ["Zo\u00eb"] * before
    monkeypatch.setattr(people, "atomic_write", written)
    name_person(library, "Zo\u00eb", files, None)  # type: ignore[arg-type]
    assert sorted(path.name for path in (library / "people").rglob("*")) == ["1.jpg", "2.jpg", "3.jpg", "Zo\u00eb"]
    assert portraits_of(library, "Zoe\u0308") == [library / "people/Zo\u00eb" / f"{n}.jpg" for n in (1, 2, 3)]


def write_bytes(path: Path, number: int) -> Path:
    path.write_bytes(bytes([number]))
    return path


# ---------------------------------------------------------------------------- two runs at once


def test_a_second_run_waits(searched: Searched, script: Run, tmp_path: Path) -> None:
    library, work = tmp_path / "library", searched()
    script(SCRIPT, "add", "--library", library, "--work", work, "--model", "dlib")
    searched("second", seed=1)
    command = [sys.executable, ROOT / SCRIPT, "add", "--library", library, "--work", work]
    with alone(library / "archive.json"):
        other = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        assert other.stderr is not None
        told = other.stderr.readline()
        assert told.startswith(f"warning: {library}/archive.json: another run is at work on it (process ")
        assert other.poll() is None and not (library / "films/second.safetensors").exists()
    _, more = other.communicate(timeout=60)
    assert (other.returncode, more) == (0, "")
    assert (library / "films/second.safetensors").exists()
