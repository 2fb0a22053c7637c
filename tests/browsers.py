"""A real browser for tests of pages, and what a visitor does in it. `make browser` finds or installs it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, sync_playwright

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needed = pytest.mark.skipif(FOUND is None, reason="there is no Chromium here; `make browser` installs one")
SLOW = 60_000
"""Milliseconds that the first use of a model may take on a busy machine."""
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream=fps=10", "--use-fake-ui-for-media-stream"]


@contextmanager
def opened() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=FOUND, args=FLAGS)
        yield chromium
        chromium.close()


def open_page(page: Page, address: str, name: str) -> None:
    page.goto(f"{address}/{name}")
    page.get_by_role("heading", level=1).wait_for()
    rest(page)


def rest(page: Page) -> None:
    """Wait until the page's script has ended, and for half a second has not begun anew: what is clicked while it runs
    can be gone before the click has an effect."""
    app = page.locator("[data-testid=stApp]")
    quiet = 0
    for _ in range(600):
        quiet = quiet + 1 if app.get_attribute("data-test-script-state") == "notRunning" else 0
        if quiet == 5:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the page's script does not end")


def send(page: Page, name: str, data: bytes, place: int = 0) -> None:
    kind = "image/jpeg" if name.endswith("jpg") else "image/png"
    page.locator("input[type=file]").nth(place).set_input_files({"name": name, "mimeType": kind, "buffer": data})


def upload(page: Page, name: str, data: bytes) -> None:
    page.get_by_role("radio", name="Upload", exact=True).click()
    page.locator("input[type=file]").first.wait_for(state="attached")
    rest(page)
    send(page, name, data)


def downloaded(page: Page, button: str) -> tuple[str, bytes]:
    rest(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name=button).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def at_rest(page: Page, element: Locator) -> FloatRect:
    """Where an element is once the page around it has stopped moving, which takes a busy machine a while."""
    before = None
    for _ in range(40):
        box = element.bounding_box()
        if box is not None and box == before:
            return box
        before = box
        page.wait_for_timeout(250)
    raise AssertionError("the page does not come to rest")
