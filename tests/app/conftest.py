"""A visitor's browser, and the page that it opens: one server and one browser for the tests of a file."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.request import urlopen

import browsers
import pytest
from browsers import SLOW
from conftest import ROOT, Project
from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def address(project: Project) -> Iterator[str]:
    """`afterimage app` on the tiny project, as a visitor reaches it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from afterimage.cli import main; main()"
    words = [sys.executable, "-c", program, "app", "--project", str(project.root), "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    log = project.home / "app.log"
    with log.open("w") as stream:
        server = subprocess.Popen(words, env=environment, cwd=project.home, stdout=stream, stderr=stream)
    try:
        for _ in range(240):
            try:
                with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1):
                    break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.opened() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A visitor's own window; whatever it asks of another host fails the test, since the page must work offline."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera"])
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.set_default_timeout(SLOW)
    yield page
    context.close()
    here = (address, address.replace("http", "ws"), "data:", "blob:")
    assert [url for url in asked if not url.startswith(here)] == []
