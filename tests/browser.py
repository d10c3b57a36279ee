"""A real Chromium for tests of pages, and what the viewer of pages shows in it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PIL import Image

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@contextmanager
def launched(*arguments: str) -> Iterator[Any]:
    """A browser; without playwright or Chromium the test is skipped."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *arguments]
        )
        yield browser
        browser.close()


@contextmanager
def watched(browser: Any) -> Iterator[Callable[..., Any]]:
    """Yields what makes pages, of a browser's settings, that may ask for what is `allowed`; fails
    at the end if one had errors or asked for anything else.
    """
    troubles: list[str] = []
    contexts = []

    def made(allowed: tuple[str, ...], **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": DESK, **settings})
        contexts.append(context)
        page = context.new_page()
        _watch(page, troubles, allowed)
        return page

    yield made
    for context in contexts:
        context.close()
    assert troubles == []


def _watch(page: Any, troubles: list[str], allowed: tuple[str, ...]) -> None:
    """Collects what goes wrong in a page, and requests to what is not `allowed`."""

    def heard(message: Any) -> None:
        if message.type in ("error", "warning"):
            troubles.append(message.text)

    def asked(request: Any) -> None:
        if not request.url.startswith(allowed):
            troubles.append(request.url)

    page.on("console", heard)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", asked)
    page.on("requestfailed", lambda request: troubles.append(f"failed: {request.url[:100]}"))


def box(page: Any, selector: str = ".stage") -> Any:
    return page.locator(selector).first.bounding_box()


def at(page: Any) -> int:
    """Where the divider is, in percent."""
    return int(page.locator(".stage").get_attribute("aria-valuenow"))


def colour(page: Any, across: float, down: float = 0.3) -> tuple[int, ...]:
    """The pixel shown at a place of the stage, in shares of its width and height."""
    seen = Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB")
    place = (int(seen.width * across), int(seen.height * down))
    return seen.getpixel(place)  # type: ignore[return-value]


def places(page: Any) -> list[str]:
    """The CSS transform of each layer's picture."""
    found: list[str] = page.eval_on_selector_all(
        ".layer img", "images => images.map(image => image.style.transform)"
    )
    return found


def levels(page: Any) -> list[float]:
    """How bright the page's background and its text are, 0 to 255."""
    found = []
    for name in ("backgroundColor", "color"):
        written = page.evaluate(f"getComputedStyle(document.body).{name}")
        found.append(sum(int(part) for part in written.strip("rgb()").split(",")) / 3)
    return found
