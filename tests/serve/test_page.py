"""The page in a real Chromium that reaches nothing but this server."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from srup.serve.running import Running
from tests.browser import DESK, PHONE, at, box, colour, launched, levels, places, watched
from tests.serve.conftest import TOKEN, eventually, halted, health, is_idle

RED, BLUE = (220, 0, 0), (0, 0, 220)
MAKER = "Somebody's camera"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # as on a machine without a network: no name leads anywhere
    with launched("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1") as found:
        yield found


@pytest.fixture
def opened(browser: Any, url: str) -> Iterator[Open]:
    """Opens the page; fails afterwards if it had errors or asked anybody else."""
    with watched(browser) as made:

        def open_(address: str = url, **settings: Any) -> Any:
            page = made((address.partition("#")[0], "data:", "blob:"), **settings)
            page.goto(address)
            page.locator(".chip").first.wait_for()
            return page

        yield open_


@pytest.fixture
def red(tmp_path: Path) -> Path:
    """A picture that says what took it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = MAKER
    Image.new("RGB", (40, 30), RED).save(tmp_path / "red.png", exif=exif)
    return tmp_path / "red.png"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A picture of a format that browsers do not show."""
    Image.new("RGB", (40, 30), BLUE).save(tmp_path / "scan.tif")
    return tmp_path / "scan.tif"


def button(page: Any, text: str) -> Any:
    return page.locator("li button", has_text=text)


def drop(page: Any, *paths: Path) -> None:
    """Drops files on the page as a hand with a mouse does."""
    session = page.context.new_cdp_session(page)
    place = box(page, "#drop")
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": place["x"] + 20, "y": place["y"] + 20, "data": data}
        session.send("Input.dispatchDragEvent", event)


def enlarged(page: Any, count: int = 1) -> None:
    """Presses Enlarge, and waits for so many results."""
    page.locator("#enlarge").click()
    button(page, "Save").nth(count - 1).wait_for()


def test_from_dropping_to_saving(opened: Open, red: Path, url: str) -> None:
    page = opened()
    drop(page, red)
    about = page.locator(".picture .about", has_text="40×30")
    about.wait_for()
    assert about.inner_text() == "40×30 · it looks clean: lite"
    page.locator("[name=value]").fill("2")
    enlarged(page)
    assert "lite ×2: 80×60" in page.locator("li").inner_text()
    stage = box(page)
    middle = stage["y"] + stage["height"] / 2
    page.mouse.move(stage["x"] + stage["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.7, middle, steps=3)
    page.mouse.up()
    assert at(page) == 70
    before = places(page)
    page.keyboard.press("Tab")
    page.locator(".stage").press("+")
    assert places(page) != before
    with page.expect_download() as download:
        button(page, "Save").click()
    assert download.value.suggested_filename == "red_x2.png"
    saved = Image.open(download.value.path())
    assert (saved.size, saved.getexif()[ExifTags.Base.Make]) == ((80, 60), MAKER)
    page.locator(".picture").get_by_text("×", exact=True).click()
    eventually(lambda: is_idle(url))


def test_pasting(opened: Open, red: Path, url: str) -> None:
    """What another program has put on the clipboard."""
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(red.read_bytes()).decode(),
    )
    page.locator("#choose").focus()
    page.keyboard.press("Control+V")
    page.locator(".picture .about", has_text="40×30").wait_for()
    page.close(run_before_unload=True)
    eventually(lambda: is_idle(url))  # whoever closes the page wants nothing of it any more


def test_several_pictures_by_several_networks(opened: Open, red: Path, scan: Path) -> None:
    page = opened()
    page.locator("#files").set_input_files([red, scan])
    page.locator(".picture .about", has_text="40×30").nth(1).wait_for()
    page.locator("[value=lite-photo]").check()
    page.get_by_text("More networks").click()
    page.locator("[value=bicubic]").check()
    page.locator("[name=value]").fill("2")
    page.locator("[name=format]").select_option("tiff")  # which has to be shown as something else
    enlarged(page, 6)
    page.locator(".picture .name", has_text="scan.tif").click()
    page.get_by_text("Side by side").click()
    assert page.locator(".layer").count() == 4
    shown = page.locator(".layer img").evaluate_all("all => all.map((one) => one.naturalWidth)")
    assert shown == [40, 80, 80, 80]
    page.get_by_text("Side by side").click()
    red_, green, blue = colour(page, 0.6)
    assert blue > 150 > 80 > max(red_, green)
    with page.expect_download() as download:
        button(page, "Save").last.click()
    assert Image.open(download.value.path()).format == "TIFF"


def test_cancelling(opened: Open, red: Path, running: Running, url: str) -> None:
    """What waits and what is computed."""
    page = opened()
    page.locator("#files").set_input_files([red])
    page.locator(".picture .about", has_text="40×30").wait_for()
    with halted(running.workers[0]):
        page.locator("[value=lite-photo]").check()
        page.locator("#enlarge").click()
        page.locator("li", has_text="waiting, 0 before it").wait_for()
        eventually(lambda: health(url)["waiting"] == 1)
        button(page, "Cancel").last.click()
        eventually(lambda: health(url)["waiting"] == 0)
        button(page, "Cancel").click()
        assert page.locator("li").count() == 0
    page.get_by_label("Remove red.png").click()
    eventually(lambda: is_idle(url))


def test_light_and_dark_and_narrow(opened: Open, red: Path) -> None:
    """Background and text have the scheme's colours, and nothing is wider than the window."""
    found = {}
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        page = opened(color_scheme=scheme, viewport=size)
        page.locator("#files").set_input_files([red])
        enlarged(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        found[scheme] = levels(page)
    assert found["light"][0] > 240 > 60 > found["light"][1]
    assert found["dark"][0] < 40 < 200 < found["dark"][1]


def test_by_keyboard_alone(opened: Open, red: Path) -> None:
    page = opened()
    with page.expect_file_chooser() as chooser:
        page.locator("#choose").press("Enter")
    chooser.value.set_files([red])
    page.locator(".picture .about", has_text="40×30").wait_for()
    page.locator("[name=value]").focus()
    page.keyboard.press("Enter")
    button(page, "Save").wait_for()
    page.locator(".stage").focus()
    page.keyboard.press("ArrowLeft")
    assert at(page) == 48


def test_a_picture_that_is_none(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "none.png").write_bytes(b"nothing")
    page = opened()
    page.locator("#files").set_input_files([tmp_path / "none.png"])
    page.locator(".about", has_text="cannot read none.png: not an image").wait_for()
    assert page.locator("#enlarge").is_disabled()


def test_a_token(browser: Any, everywhere: Running) -> None:
    """It is asked for, or comes with the address, where it does not stay."""
    address = f"http://127.0.0.1:{everywhere.access.port}/"
    page = browser.new_context().new_page()
    page.goto(address)
    page.locator("[name=token]").fill(TOKEN)
    page.keyboard.press("Enter")
    page.locator(".chip").first.wait_for()
    page.context.close()
    page = browser.new_context().new_page()
    page.goto(f"{address}#token={TOKEN}")
    page.locator(".chip").first.wait_for()
    assert TOKEN not in page.url
    page.context.close()


def test_no_page_may_frame_it(browser: Any, url: str) -> None:
    page = browser.new_context().new_page()
    page.set_content(f"<iframe src='{url}'></iframe>")
    page.wait_for_load_state()
    assert all("chip" not in frame.content() for frame in page.frames[1:])
    page.context.close()
