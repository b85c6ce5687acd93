"""Waiting for a page."""

from __future__ import annotations

import time
from typing import Any


def until(page: Any, expression: str, seconds: float = 10.0) -> None:
    """Wait until JavaScript holds. Playwright's own way evaluates text in the page, which the pages' policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)
