"""The whole round: search, decide in the browser, save, search again, and the pages show what was decided."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="no Playwright; pip install playwright")

from castsearch import stagefiles
from castsearch.annotations import read_annotations
from castsearch.results import read_result
from scripts import films
from tests.browser.test_correcting import press, save, state
from tests.cli.here import Run, runs_here
from tests.cli.test_film_decisions import ANN, BOB, BOBS, CATS, SHOTS
from tests.cli.test_find_cast import drawn_models
from tests.movies.clips import write_video
from tests.movies.drawn import Actor, painted, still

N = 24  # boxes of the ranked movie, two a frame
PEOPLE = ("ann", "bob", "cat")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs scripts with models that see what is drawn."""
    monkeypatch.setattr(films, "open_models", lambda *_: drawn_models())
    return runs_here(monkeypatch, capfd)


def state_at(page, rank):
    """Of the box at a rank, wherever the page is."""
    press(page, rank)
    return state(page, rank)


def label_of(page, box):
    """What is said of a box, by its id."""
    press(page, box)
    return page.evaluate("document.activeElement.getAttribute('aria-label')")


# ---------------------------------------------------------------------------- stages


@pytest.fixture
def split(script: Run, tmp_path: Path) -> Path:
    """A movie of three people and a stranger, whose features are noisy."""
    rng = np.random.default_rng(5)
    images = [*(f"m/cast/{name}.jpg" for name in PEOPLE), *(f"m/candidates/shot{k:04d}img0.jpg" for k in range(N // 2))]
    for image in images:
        path = tmp_path / "origin/val" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(path)
    cast = [{"id": f"m_{name}", "img": f"m/cast/{name}.jpg", "label": name.title()} for name in PEOPLE]
    candidates = [
        {"id": f"m_{k}", "img": images[3 + k // 2], "bbox": [40 * (k % 2), 5, 35, 50], "label": "others"}
        for k in range(N)
    ]
    (tmp_path / "val.json").write_text(json.dumps({"m": {"cast": cast, "candidates": candidates}}))
    crop = ("--origin", tmp_path / "origin", "--body", tmp_path / "body", "--mode", "val", "--data", tmp_path)
    script("crop_body.py", *crop)

    movie = stagefiles.read_body(tmp_path / "body_val.pkl")["m"]
    face = {"faces": np.zeros((1, 4), "f4"), "landmarks": np.zeros((1, 10), "f4"), "scores": np.ones(1, "f4")}
    items = {"cast": movie.cast, "candidates": movie.candidates}
    retina = {
        kind: [{"id": one.id, "file": one.file, "label": one.label} | face for one in some]
        for kind, some in items.items()
    }
    stagefiles.write(tmp_path / "retina_val.pkl", {"m": retina})
    who, faces, outfits = np.arange(N) % 4, rng.normal(size=(4, 16)), rng.normal(size=(4, 12))
    rows = faces[[0, 1, 2, *who]]
    stagefiles.write(tmp_path / "face_val.pkl", {"m": (rows + 0.9 * rng.normal(size=rows.shape)).astype("f4")})
    bodies = outfits[who] + 0.9 * rng.normal(size=(N, 12))
    stagefiles.write(tmp_path / "triplet_resnext101_32x8d_val.pkl", {"m": bodies.astype("f4")})
    return tmp_path


def test_a_ranking_is_put_right(script: Run, split: Path, open_page) -> None:
    result = split / "result.txt"

    def ranked(*flags: object) -> str:
        script("fusion.py", "--mode", "val", "--data", split, "--submission", result, "--recipe", "best", *flags)
        script("demo.py", "--gallery", split / "g", "--data", split, "--submission", result)
        return (split / "g/movies/1/1.html").as_uri()

    page = open_page(ranked())
    before = read_result(result.with_suffix(".json")).movies["m"]["m_ann"].places
    for rank, key in ((2, "c"), (7, "c"), (5, "p"), (1, "r"), (3, "r")):
        press(page, rank, key)
    saved = save(page, split / "decisions.json")
    decided = {key: {before.ids[rank - 1] for rank in ranks} for key, ranks in (("c", (2, 7, 5)), ("r", (1, 3)))}
    person = saved["people"]["m_ann"]
    assert (person["confirmed"].keys(), person["rejected"].keys()) == (decided["c"], decided["r"])
    assert person["portraits"] == [before.ids[4]]

    first = page
    page = open_page(ranked("--decisions", split / "decisions.json"))
    after = read_result(result.with_suffix(".json")).movies["m"]["m_ann"].places
    assert set(after.ids[:3]) == decided["c"] and set(after.ids[-2:]) == decided["r"]
    star = after.ids.index(before.ids[4]) + 1
    states = ["★ portrait" if rank == star else "✓ confirmed" for rank in (1, 2, 3)]
    assert [state_at(page, rank) for rank in (1, 2, 3)] == states
    assert [state_at(page, rank) for rank in (4, N - 2, N - 1, N)] == ["", "", "✗ rejected", "✗ rejected"]
    assert page.locator("#bar-count").inner_text() == "3 confirmed · 2 rejected · 1 portrait"
    assert not page.locator("#bar-unsaved").is_visible()
    assert save(page, split / "again.json") == saved
    assert (split / "again.json").read_bytes() == (split / "decisions.json").read_bytes()
    first.reload()  # the browser in which all was decided
    assert [state_at(first, rank) for rank in (1, 2, 3, N)] == [*states, "✗ rejected"]
    assert save(first, split / "once more.json") == saved


# ---------------------------------------------------------------------------- films


def test_a_film_is_put_right(script: Run, tmp_path: Path, open_page) -> None:
    pictures = [painted(actors, 0, backdrop) for backdrop, actors in SHOTS for _ in range(50)]
    film, out = write_video(tmp_path / "m.mp4", pictures, crf="10", g="25"), tmp_path / "out"
    (tmp_path / "portraits").mkdir()
    for name, face in (("Ann", ANN), ("bob", BOB)):
        Image.fromarray(painted([Actor(None, face, still(40))], 0)).save(tmp_path / f"portraits/{name}.png")

    def found(*flags: object) -> str:
        where = ("--video", film, "--portraits", tmp_path / "portraits", "--out", out, "--cluster")
        script("scripts/find_cast.py", *where, *flags)
        return (out / "gallery/movies/1/index.html").as_uri()

    def boxes(left: int) -> dict[str, str]:
        candidates = read_annotations(out / "test.json")["m"].candidates
        return {one.id: one.file for one in candidates if abs(one.bbox[0] - left) < 5}

    page = open_page(found())
    form = page.locator("form.naming")
    form.locator("[name=name]").fill("Cat <b>")
    form.locator("button").first.click()
    page.locator("a.person-name", has_text="bob").click()
    press(page, 1, "r")
    saved = save(page, tmp_path / "decisions.json")
    assert saved["named"] == {"m": {"Cat <b>": boxes(CATS)}}
    ((box, file),) = saved["people"]["m_bob"]["rejected"].items()
    assert boxes(BOBS)[box] == file

    page = open_page(found("--decisions", tmp_path / "decisions.json"))
    assert [name.split("\n")[0] for name in page.locator("a.person-name").all_inner_texts()] == [
        *("Ann", "bob", "Cat <b>", "unknown-1"),  # Bob's first track is nobody's now
    ]
    page.locator("a.person-name", has_text="bob").click()
    n = len(read_annotations(out / "test.json")["m"].candidates)
    assert label_of(page, box).startswith(f"Rank {n}, probability 0.0 %, ") and "rejected" in label_of(page, box)
    assert state_at(page, n - 1) == ""
    assert page.locator("#bar-count").inner_text() == "1 rejected · 1 named"
    assert save(page, tmp_path / "again.json") == saved
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "decisions.json").read_bytes()

    # Of the group one box is no hers after all: she keeps the others.
    page.goto(page.url.rsplit("/", 1)[0] + "/3.html")
    assert page.locator("h1").inner_text() == "Cat <b>"
    taken, *kept = boxes(CATS)
    assert "confirmed" in label_of(page, taken)
    page.keyboard.press("r")
    assert save(page, tmp_path / "third.json")["people"]["m_Cat_b"] == {"rejected": {taken: boxes(CATS)[taken]}}
    page = open_page(found("--decisions", tmp_path / "third.json"))
    page.goto(page.url.rsplit("/", 1)[0] + "/3.html")
    assert label_of(page, taken).startswith(f"Rank {n}, probability 0.0 %, ") and "rejected" in label_of(page, taken)
    ranks = {int(label_of(page, one).removeprefix("Rank ").split(",")[0]) for one in kept}
    assert ranks == set(range(1, len(kept) + 1)) and "confirmed" in label_of(page, kept[-1])
