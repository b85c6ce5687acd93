"""The gallery of the quickstart's movie, as `make demo` leaves it."""

from __future__ import annotations

import json

import pytest

from castsearch.annotations import read_labels, read_ranking
from castsearch.metrics import evaluate
from tests.browser.waiting import until


@pytest.mark.slow
def test_the_gallery_of_the_demo(quickstart, open_page):
    folder, _ = quickstart
    labels, ranking = read_labels(folder / "val_label.json"), read_ranking(folder / "val_result.txt")
    found = evaluate(labels, ranking)
    page = open_page((folder / "gallery/index.html").as_uri())
    assert page.locator(".scores tbody td").first.inner_text() == f"{100 * found.mean_ap:.1f}"
    movies = json.loads((folder / "val.json").read_text())
    assert page.locator("a.person-name").count() == sum(len(movie["cast"]) for movie in movies.values())
    page.locator("a.person-name").first.click()
    first, *_ = ranking
    n, hits = len(ranking[first]), len(labels[first])
    assert page.locator("#count").inner_text() == f"{n} boxes"
    page.locator("[name=hit]").select_option("hit")
    assert page.locator("#count").inner_text() == f"{hits} of {n} boxes"
    page.locator(".card:not([hidden])").first.click()
    until(page, "[...document.querySelectorAll('dialog[open] img')].some((image) => image.naturalWidth > 100)")
