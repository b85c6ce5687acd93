"""Decisions in a browser: made by key and by click, kept, saved, loaded; Python reads what is saved."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("playwright", reason="no Playwright; pip install playwright")

from castsearch.decisions import DecisionError, Decisions, Verdicts, as_json, read_decisions
from tests.browser.waiting import until

NOTHING = {"format": "castsearch decisions 1", "people": {}}


def boxes_of(made, ranks, movie=0, person=0):
    """Id and file of the boxes at some ranks, as decisions have them."""
    content = made.movies[movie]
    order = content.people[person].results[0].order
    return {content.boxes[int(order[rank - 1])].id: content.boxes[int(order[rank - 1])].file for rank in ranks}


def press(page, rank, *keys):
    page.locator("[name=jump]").fill(str(rank))
    page.keyboard.press("Enter")
    for key in keys:
        page.keyboard.press(key)


def state(page, rank):
    return page.locator(f"#grid-0 .card[aria-label^='Rank {rank},'] .state").inner_text()


def said(page):
    return page.locator("#message").inner_text()


def save(page, path):
    with page.expect_download() as download:
        page.locator("#bar-save").click()
    assert download.value.suggested_filename == "decisions.json"
    download.value.save_as(path)
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    assert text == json.dumps(content, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert as_json(read_decisions([path])) == content
    return content


def load(page, *paths):
    page.locator("#bar-files").set_input_files(list(paths))
    until(page, "document.querySelector('#bar-files').value === ''")


def drop(page, name, text):
    page.evaluate(
        """([name, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], name, { type: "application/json" }));
            for (const kind of ["dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        [name, text],
    )
    until(page, "document.querySelector('#message').classList.contains('shown')")


def written(path, **content):
    path.write_text(json.dumps({**NOTHING, **content}), encoding="utf-8")
    return path


def test_a_round_of_decisions(open_page, site, tmp_path):
    page = open_page(site.page(1, 1))
    assert page.locator("#bar-count").inner_text() == "No decisions yet"
    press(page, 1, "c")
    press(page, 2, "r")
    press(page, 3, "p")
    press(page, 4, "c", "u")
    press(page, 5, "r", "c")
    assert [state(page, rank) for rank in range(1, 6)] == ["✓ confirmed", "✗ rejected", "★ portrait", "", "✓ confirmed"]
    assert page.locator("#bar-count").inner_text() == "3 confirmed · 1 rejected · 1 portrait"
    assert page.locator("#bar-unsaved").is_visible()
    assert page.locator("#chosen img").count() == 1
    saved = save(page, tmp_path / "decisions.json")
    person = {
        "confirmed": boxes_of(site, [1, 3, 5]),
        "portraits": list(boxes_of(site, [3])),
        "rejected": boxes_of(site, [2]),
    }
    assert saved == {**NOTHING, "people": {"m0_nm0": person}}
    assert not page.locator("#bar-unsaved").is_visible()

    page.reload()
    assert [state(page, rank) for rank in range(1, 6)] == ["✓ confirmed", "✗ rejected", "★ portrait", "", "✓ confirmed"]
    assert not page.locator("#bar-unsaved").is_visible()
    page.locator("#bar-clear").click()
    page.locator("#ask button", has_text="Keep").click()
    assert state(page, 1) == "✓ confirmed"
    page.locator("#bar-clear").click()
    page.locator("#ask button", has_text="Clear").click()
    assert state(page, 1) == ""
    assert page.locator("#bar-count").inner_text() == "No decisions yet"

    load(page, tmp_path / "decisions.json")
    assert said(page) == "Loaded 1 file of decisions."
    assert [state(page, rank) for rank in range(1, 6)] == ["✓ confirmed", "✗ rejected", "★ portrait", "", "✓ confirmed"]
    assert not page.locator("#bar-unsaved").is_visible()
    page.goto(site.index.as_uri())
    assert page.locator("#bar-count").inner_text() == "3 confirmed · 1 rejected · 1 portrait"
    assert save(page, tmp_path / "again.json") == saved


def test_several_boxes_at_once(open_page, site, tmp_path):
    page = open_page(site.page(1, 1))
    press(page, 3, "Space", "Shift+ArrowRight", "Shift+ArrowRight")
    assert page.locator("#selection-count").inner_text() == "3 selected"
    page.locator(".card[aria-label^='Rank 7,'] input").click()
    page.locator(".card[aria-label^='Rank 9,'] input").click(modifiers=["Shift"])
    assert page.locator("#selection-count").inner_text() == "6 selected"
    page.locator("#selection .reject").click()
    assert said(page) == "6 boxes rejected."
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm0": {"rejected": boxes_of(site, [3, 4, 5, 7, 8, 9])}}
    page.keyboard.press("Escape")
    assert not page.locator("#selection").is_visible()
    page.locator(".card[aria-label^='Rank 4,']").focus()
    page.keyboard.press("Control+a")
    assert page.locator("#selection-count").inner_text() == "60 selected"
    page.keyboard.press("u")
    assert save(page, tmp_path / "b.json") == NOTHING


def test_boxes_that_a_filter_hides_are_not_decided_on(open_page, site, tmp_path):
    person = site.movies[0].people[0]
    hits = [rank for rank, box in enumerate(person.results[0].order, start=1) if int(box) in person.hits]
    page = open_page(site.page(1, 1))
    page.locator(".card").first.focus()
    page.keyboard.press("Control+a")
    page.locator("[name=hit]").select_option("hit")
    assert page.locator("#selection-count").inner_text() == f"{len(hits)} selected"
    page.locator("#selection .confirm").click()
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm0": {"confirmed": boxes_of(site, hits)}}


def test_clicks_and_touch_do_what_keys_do(open_page, site, tmp_path):
    page = open_page(site.page(1, 1), size=(390, 800), has_touch=True)
    card = page.locator(".card[aria-label^='Rank 1,']")
    card.locator(".confirm").tap()
    page.locator(".card[aria-label^='Rank 2,'] .reject").tap()
    page.locator(".card[aria-label^='Rank 3,'] .picture").tap()
    page.locator("#viewer .star, #viewer [data-action=portrait]").first.tap()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    page.locator("#viewer .close").tap()
    assert save(page, tmp_path / "a.json")["people"]["m0_nm0"] == {
        "confirmed": boxes_of(site, [1, 3]),
        "portraits": list(boxes_of(site, [3])),
        "rejected": boxes_of(site, [2, 4]),
    }


FOCUS = "document.activeElement.id || document.activeElement.name || document.activeElement.className"


def test_the_focus_stays_where_work_goes_on(open_page, site):
    page = open_page(site.page(1, 1))
    page.keyboard.press("c")
    assert said(page) == "Go to a box first: an arrow key leads there."
    assert page.locator("#bar-count").inner_text() == "No decisions yet"
    for leave in ("Enter", "Escape"):
        press(page, 3, "Space")
        page.locator("#selection button").last.focus()
        page.keyboard.press(leave)
        assert page.locator(".card:focus").get_attribute("aria-label").startswith("Rank 3, ")
    page.locator("[name=decided]").select_option("portrait")
    page.locator("#reset").press("Enter")
    until(page, f"({FOCUS}) === 'decided'")
    press(page, 3, "c")
    page.locator("#bar-clear").press("Enter")
    page.locator("#ask .danger").press("Enter")
    until(page, f"({FOCUS}) === 'bar-load'")


def test_the_only_portrait_replaces_others(open_page, site, tmp_path):
    page = open_page(site.page(1, 2))
    press(page, 1, "p")
    press(page, 2, "Shift+P")
    expected = {
        "confirmed": boxes_of(site, [1, 2], person=1),
        "portraits": list(boxes_of(site, [2], person=1)),
        "replace": True,
    }
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm1": expected}
    assert page.locator("#replaced-note").is_visible()
    press(page, 2, "u")
    assert save(page, tmp_path / "b.json")["people"] == {"m0_nm1": {"confirmed": boxes_of(site, [1], person=1)}}
    press(page, 1, "p")
    assert "replace" not in save(page, tmp_path / "c.json")["people"]["m0_nm1"]
    press(page, 1, "p")
    assert save(page, tmp_path / "d.json")["people"] == {"m0_nm1": {"confirmed": boxes_of(site, [1], person=1)}}


def test_a_box_is_confirmed_for_one_person(open_page, site, tmp_path):
    ((box, file),) = boxes_of(site, [1]).items()
    page = open_page(site.page(1, 1))
    press(page, 1, "Shift+P")
    page.goto(site.page(1, 2))
    page.locator("[name=jump]").fill(box)
    page.keyboard.press("Enter")
    page.keyboard.press("c")
    assert said(page).startswith("1 box confirmed. No longer confirmed for Ann ")
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm1": {"confirmed": {box: file}}}
    page.goto(site.page(1, 1))
    assert state(page, 1) == ""
    press(page, 1, "r")
    assert save(page, tmp_path / "b.json")["people"] == {
        "m0_nm0": {"rejected": {box: file}}, "m0_nm1": {"confirmed": {box: file}},
    }  # fmt: skip


def test_groups_are_given_names(open_page, site, tmp_path):
    movie = site.movies[0]
    group = boxes_of(site, range(1, 13), person=3)
    page = open_page(site.page(1, None))
    form = page.locator("form.naming")
    form.locator("[name=name]").fill("unknown-7")
    form.locator("button").first.click()
    assert said(page) == "The name is what people are called whom nobody knows; choose another."
    form.locator("[name=name]").fill("  Zoë <i>  ")
    form.locator("button").first.click()
    assert form.locator(".given").inner_text() == "✓ named Zoë <i>"
    assert save(page, tmp_path / "a.json") == {**NOTHING, "named": {movie.name: {"Zoë <i>": group}}}

    page.goto(site.page(1, 4))
    assert state(page, 1) == "✓ in the group"
    press(page, 2, "r")  # and with it the other box of its track
    assert [state(page, rank) for rank in (1, 2, 3)] == ["✗ taken out", "✗ taken out", "✓ in the group"]
    page.locator("[name=name]").fill("Émile 王")
    page.locator("form.naming button").first.click()
    rest = {box: file for box, file in group.items() if box not in boxes_of(site, [1, 2], person=3)}
    assert save(page, tmp_path / "b.json")["named"] == {movie.name: {"Émile 王": rest}}
    page.locator("[name=forget]").click()
    assert save(page, tmp_path / "c.json") == NOTHING
    press(page, 3, "c")
    assert said(page).startswith("Give the group a name first")


@pytest.mark.parametrize("by", ["picker", "drop"])
def test_files_are_merged_and_strangers_kept(open_page, site, tmp_path, by):
    known = boxes_of(site, [1, 2, 3])
    one, two, three = known
    gone = {"m0_999": "m0/gone.jpg", "10": "m0/ten.jpg", "9": "m0/nine.jpg"}
    strange = {"tt9_nm1": {"rejected": {"tt9_1": "tt9/x.jpg"}}, "__proto__": {"confirmed": {"constructor": "a/b.jpg"}}}
    first = json.dumps({**NOTHING, "people": {"m0_nm0": {"confirmed": {one: known[one], two: known[two]}}, **strange}})
    ours = {"confirmed": {three: known[three], **gone}, "portraits": [three], "rejected": {two: known[two]}}
    named = {"elsewhere": {"Zoe": {"e_1": "e/1.jpg"}}}
    second = json.dumps({**NOTHING, "people": {"m0_nm0": ours}, "named": named})
    page = open_page(site.page(1, 1))
    if by == "picker":
        files = tmp_path / "1.json", tmp_path / "2.json"
        for path, text in zip(files, (first, "\ufeff" + second), strict=True):
            path.write_text(text, encoding="utf-8")
        load(page, *files)
        assert (
            said(page)
            == "Loaded 2 files of decisions. 2 people and 3 boxes of them not in this gallery: kept for saving."
        )
    else:
        drop(page, "1.json", first)
        drop(page, "2.json", second)
    assert [state(page, rank) for rank in (1, 2, 3)] == ["✓ confirmed", "✗ rejected", "★ portrait"]
    page.reload()
    saved = save(page, tmp_path / "saved.json")
    assert saved["people"]["m0_nm0"] == {**ours, "confirmed": {**ours["confirmed"], one: known[one]}}
    assert {person: saved["people"][person] for person in strange} == strange
    assert saved["named"] == named


def test_a_box_of_another_run_is_another_box(open_page, site, tmp_path):
    ((box, file),) = boxes_of(site, [1]).items()
    page = open_page(site.page(1, 1))
    load(page, written(tmp_path / "old.json", people={"m0_nm0": {"confirmed": {box: "m0/other.jpg"}}}))
    assert state(page, 1) == ""
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm0": {"confirmed": {box: "m0/other.jpg"}}}
    press(page, 1, "r")  # the id stands for the box that is here now
    assert save(page, tmp_path / "b.json")["people"] == {"m0_nm0": {"rejected": {box: file}}}


def test_a_box_whose_id_changed_is_known_by_its_crop(open_page, site, tmp_path):
    ((box, file),) = boxes_of(site, [2]).items()
    page = open_page(site.page(1, 1))
    load(page, written(tmp_path / "old.json", people={"m0_nm0": {"rejected": {"old_7": file}}}))
    assert state(page, 2) == "✗ rejected"
    press(page, 2, "c")
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm0": {"confirmed": {box: file}}}


WRONG = {
    "{": "wrong.json is not valid JSON; choose a decisions.json that a gallery saved.",
    "[]": "wrong.json holds no decisions; choose a decisions.json that a gallery saved.",
    '{"format": "castsearch result 1"}': "wrong.json holds no decisions; choose a decisions.json that a gallery saved.",
    '{"format": "castsearch decisions 2"}': "wrong.json holds decisions of version 2, where 1 is read.",
    '{"format": "castsearch decisions 1", "people": []}': "wrong.json is damaged: “people” is no object.",
    '{"format": "castsearch decisions 1", "people": {"a": {"confirmed": {"b": 3}}}}': (
        "wrong.json is damaged: person a: the crop of box b is empty."
    ),
    '{"format": "castsearch decisions 1", "people": {"a": {"confirmed": {"b": "f"}, "rejected": {"b": "f"}}}}': (
        "wrong.json is damaged: box b of person a is both confirmed and rejected."
    ),
    '{"format": "castsearch decisions 1", "people": {"a": {"portraits": ["b"]}}}': (
        "wrong.json is damaged: portrait b of person a is not confirmed."
    ),
}


def test_wrong_files_are_told_and_nothing_is_lost(open_page, site, tmp_path):
    page = open_page(site.page(1, 1))
    press(page, 1, "c")
    for text, sentence in WRONG.items():
        drop(page, "wrong.json", text)
        until(page, f"document.querySelector('#message').textContent === {json.dumps(sentence)}")
    good = written(tmp_path / "good.json", people={"m0_nm0": {"rejected": boxes_of(site, [2])}})
    bad = tmp_path / "bad.json"
    bad.write_bytes(b"\xff\xd8\xff")
    load(page, bad, good)
    assert said(page).startswith("Loaded 1 file of decisions. bad.json is not valid JSON;")
    assert [state(page, rank) for rank in (1, 2)] == ["✓ confirmed", "✗ rejected"]


WORDS = (
    "a",
    "a,b",
    "",
    "a b",
    "\u3000",
    "../a",
    "/a",
    "a//b",
    "./a",
    "a/",
    "a\\b",
    "c:/a",
    "h://a",
    ".",
    " a",
    "a\x85",
    "\u2028a",
)
MORE_WORDS = (
    "\ud800",
    "x" * 256,
    "é" * 101,
    "x/" * 1501 + "x",
    "__proto__",
    "Émile 王",
    "unknown-1",
    "\ufeffa",
    "\u200b",
    "🎬",
)


@pytest.mark.parametrize("place", ["person", "id", "file", "movie", "name"])
def test_a_page_takes_the_words_that_python_takes(open_page, site, tmp_path, place):
    page = open_page(site.page(1, 1))
    for word in (*WORDS, *MORE_WORDS):
        own = {"person": "p", "id": "b", "file": "f.jpg", "movie": "m", "name": "n"} | {place: word}
        boxes = {own["id"]: own["file"]}
        path = written(
            tmp_path / "a.json",
            people={own["person"]: {"confirmed": boxes}},
            named={own["movie"]: {own["name"]: boxes}},
        )
        try:
            read_decisions([path])
            fits = True
        except DecisionError:
            fits = False
        read = """text => {
            try { return Boolean(castsearch.readLedger(text, "a.json")); }
            catch (error) { return error instanceof castsearch.DecisionError ? false : String(error); }
        }"""
        assert page.evaluate(read, path.read_text()) is fits, (place, word)


def test_an_id_that_another_run_named_is_named_once(open_page, site, tmp_path):
    page = open_page(site.page(1, None))
    field = page.locator("form.naming input").first
    field.fill("Ann")
    field.press("Enter")
    movie, group = site.movies[0], site.movies[0].people[3].results[0].order
    own = movie.boxes[int(group[0])].id
    earlier = {own: "m0/of_another_run_1_2_3_4.jpg"}
    load(page, written(tmp_path / "earlier.json", named={movie.name: {"Bob": earlier}}))
    named = save(page, tmp_path / "a.json")["named"][movie.name]  # read by Python there
    assert named["Bob"] == earlier
    assert len(named["Ann"]) == len(group) - 1


def test_a_large_file_of_another_split_is_taken_at_once(open_page, site, tmp_path):
    crops = [{f"b{who}_{n}": f"m/{who}_{n}.jpg" for n in range(100)} for who in range(400)]
    people = {f"p{who}": {"confirmed": boxes} for who, boxes in enumerate(crops)}
    page = open_page(site.page(1, 1))
    looks = """people => {
        const ledger = castsearch.ledgerOf({ people }, "");
        const asked = castsearch.Book.prototype.verdict;
        let n = 0;
        castsearch.Book.prototype.verdict = function (...each) { n += 1; return asked.apply(this, each); };
        castsearch.book.merge(ledger);
        castsearch.book.decide("p1", [{ id: "b0_0", file: "m/0_0.jpg" }], "confirmed");
        return n;
    }"""
    assert page.evaluate(looks, people) < 1000  # not each box of each person
    assert "b0_0" in save(page, tmp_path / "a.json")["people"]["p1"]["confirmed"]
    assert "b0_0" not in save(page, tmp_path / "b.json")["people"]["p0"]["confirmed"]


def test_decisions_that_the_ranking_was_given(open_page, site, site_with, tmp_path):
    known = boxes_of(site, [1, 2, 3])
    one, two, three = known
    given = Decisions(
        {
            "m0_nm0": Verdicts({one: known[one], two: known[two]}, {three: known[three]}, (two,), True),
            "gone": Verdicts({"x": "x.jpg"}),
        }
    )
    made = site_with(given)
    page = open_page(made.page(1, 1))
    assert [state(page, rank) for rank in (1, 2, 3)] == ["✓ confirmed", "★ portrait", "✗ rejected"]
    assert not page.locator("#bar-unsaved").is_visible()
    assert save(page, tmp_path / "a.json") == as_json(given)
    press(page, 1, "u")
    assert page.locator("#bar-unsaved").is_visible()
    page.reload()
    assert state(page, 1) == ""
    changed = Verdicts({two: known[two]}, {three: known[three]}, (two,), True)
    assert save(page, tmp_path / "b.json") == as_json(Decisions({**given.people, "m0_nm0": changed}))
    page.locator("#bar-clear").click()
    page.locator("#ask button", has_text="Clear").click()
    assert state(page, 1) == "✓ confirmed"


def test_two_tabs_and_movies_are_kept_alike(open_page, site, tmp_path):
    page = open_page(site.page(1, 1))
    other = open_page(site.page(1, 1), beside=page)
    third = open_page(site.page(3, 1), beside=page)
    press(page, 1, "c")
    until(other, "document.querySelector('.card .state').textContent === '✓ confirmed'")
    press(other, 1, "u")
    press(other, 2, "r")
    until(page, "document.querySelector('.card .state').textContent === ''")
    press(third, 1, "c")
    until(page, "document.querySelector('#bar-count').textContent === '1 confirmed · 1 rejected'")
    assert save(page, tmp_path / "a.json")["people"] == {
        "m0_nm0": {"rejected": boxes_of(site, [2])}, "m2_nm0": {"confirmed": boxes_of(site, [1], movie=2)},
    }  # fmt: skip


def test_where_the_browser_keeps_nothing_the_page_works_and_says_so(open_page, site, tmp_path):
    page = open_page(site.index.as_uri())
    page.context.add_init_script("""
        Storage.prototype.setItem = () => { throw new DOMException("full", "QuotaExceededError"); };
        Storage.prototype.getItem = () => { throw new DOMException("no", "SecurityError"); };
    """)
    page.goto(site.page(1, 1))
    assert page.locator("#bar-note").inner_text().startswith("This browser keeps nothing for these pages")
    press(page, 1, "c")
    assert state(page, 1) == "✓ confirmed"
    assert page.locator("#bar-unsaved").is_visible()
    assert save(page, tmp_path / "a.json")["people"] == {"m0_nm0": {"confirmed": boxes_of(site, [1])}}
    assert not page.locator("#bar-unsaved").is_visible()


def test_words_are_ordered_as_python_orders_them(open_page, site):
    page = open_page(site.index.as_uri())
    words = ["10", "9", "a", "B", "é", "王", "\uffee", "😀", "", "ab", "a b", "__proto__"]
    mixed = page.evaluate("words => castsearch.json(new Map(words.map((word) => [word, [word, true]])))", words)
    assert mixed == json.dumps({word: [word, True] for word in sorted(words)}, indent=2, ensure_ascii=False)
