"""A real browser for tests of pages. `make browser` finds or installs it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

FOUND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needed = pytest.mark.skipif(FOUND is None, reason="there is no Chromium here; `make browser` installs one")
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream=fps=10", "--use-fake-ui-for-media-stream"]


@contextmanager
def opened() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=FOUND, args=FLAGS)
        yield chromium
        chromium.close()
