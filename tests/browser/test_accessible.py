"""axe-core on every kind of page, light and dark, on a desktop and on a phone; and a screenshot of each."""

from __future__ import annotations

import pytest

from tests.browser.waiting import until

SIZES = {"desktop": (1100, 720), "phone": (390, 800)}


def keys(*pressed):
    def act(page):
        page.locator(".card").first.focus()
        for key in pressed:
            page.keyboard.press(key)

    return act


# What is looked at: movie, person (None of the movie's page; no movie: the index), what is done before.
VIEWS = {
    "index": (None, None, None),
    "movie": (1, None, lambda page: page.locator("summary").first.click()),
    "person": (1, 1, keys("c", "ArrowRight", "r", "ArrowRight", "p", "ArrowRight", "Space", "Shift+ArrowRight")),
    "frame": (1, 1, keys("c", "Enter")),
    "help": (1, 1, keys("?")),
    "compared": (1, 1, lambda page: page.locator("#compare").click()),
    "group": (1, 4, None),
    "crops": (2, 2, keys("Enter")),
}


# Colours and layouts are the same everywhere: what others show again is left out, as axe takes a second a view.
SEEN = [
    ("light", "desktop", list(VIEWS)),
    ("dark", "phone", ["index", "movie", "person", "frame", "group"]),
    ("dark", "desktop", ["person"]),
    ("light", "phone", ["frame"]),
]


@pytest.mark.parametrize(("scheme", "size", "views"), SEEN, ids=[f"{scheme}-{size}" for scheme, size, _ in SEEN])
def test_axe_finds_nothing_serious(open_page, site, screenshots, scheme, size, views):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    found = {}
    page = open_page(site.index.as_uri(), size=SIZES[size], color_scheme=scheme, has_touch=size == "phone")
    for view in views:
        movie, person, act = VIEWS[view]
        page.goto(site.index.as_uri() if movie is None else site.page(movie, person))
        page.evaluate("localStorage.clear()")
        page.reload()
        if act is not None:
            act(page)
        until(page, "[...document.images].every((image) => image.complete || image.loading === 'lazy')")
        page.screenshot(path=screenshots / f"{view}-{scheme}-{size}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        # Without fetching style sheets anew: the pages' policy lets nothing be fetched.
        violations = axe.run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
        if serious := [each for each in violations if each["impact"] in ("serious", "critical")]:
            found[view] = [(each["id"], each["nodes"][0]["html"][:200]) for each in serious]
    assert found == {}


def test_targets_on_a_phone_are_large_enough(open_page, site):
    page = open_page(site.page(1, 1), size=SIZES["phone"], has_touch=True)
    page.locator("#unfold").click()
    small = page.evaluate("""() => [...document.querySelectorAll("button, select, input, .tick, .others a")]
        .filter((each) => each.checkVisibility() && each.type !== "checkbox")
        .map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24)
        .map(([what]) => what)""")
    assert small == []


def test_the_page_can_be_walked_by_tab_alone(open_page, site):
    page = open_page(site.page(1, 1))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.role")
        )
        if seen[-1] == "bar-load":
            break
    assert [name for name in seen if name in ("help-open", "hit", "jump", "compare", "gridcell", "bar-load")] == [
        "help-open", "hit", "jump", "compare", "gridcell", "bar-load",
    ]  # fmt: skip
