"""A browser for the gallery's pages: Debian's chromium, through Playwright; without one these tests skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from castsearch.decisions import Decisions
from tests.gallery.site_of import Made, make_site

Opened = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium; apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright; pip install playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A gallery of three movies, two results each."""
    return make_site(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="session")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A gallery of one movie of 4,000 boxes."""
    return make_site(tmp_path_factory.mktemp("large"), (4000,))


@pytest.fixture(scope="session")
def site_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Decisions], Made]:
    """Makes a gallery of three movies whose ranking was given decisions."""
    return lambda decisions: make_site(tmp_path_factory.mktemp("decided"), decisions=decisions)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opened]:
    """Opens an address in a browser of its own, or in that of ``beside``; what it asks for must lie below the gallery's
    folder, and it must not complain."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_at(address: str, beside: Any = None, size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        if beside is None:
            contexts.append(browser.new_context(viewport={"width": size[0], "height": size[1]}, **options))
        page = (contexts[-1] if beside is None else beside.context).new_page()
        folder = _gallery_of(address)
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: None if _lies_in(request.url, folder) else faults.append(request.url))
        page.on("requestfailed", lambda request: faults.extend(_failed(request)))
        page.goto(address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not faults


def _failed(request: Any) -> list[str]:
    """What is wrong with a request that failed; scrolling on before a picture has come is nothing wrong."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url} is not there"]


def _gallery_of(address: str) -> Path:
    page = Path(unquote(urlsplit(address).path))
    return next(folder for folder in page.parents if (folder / "index.html").is_file() and (folder / "assets").is_dir())


def _lies_in(address: str, folder: Path) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).is_relative_to(folder)
    return parts.scheme in ("data", "blob")


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots lie after the tests (CASTSEARCH_SCREENSHOTS, default pytest's own folder)."""
    chosen = os.environ.get("CASTSEARCH_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
