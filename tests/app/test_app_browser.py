"""The web page in a real browser: what a visitor does, and what lands in the downloads folder.

One server and one browser serve all tests. `make browser` finds or installs the browser.
"""

import io
import socket
import time

import browsers
import numpy as np
import pictures
import pytest
from browsers import SLOW, at_rest, downloaded, open_page, rest, upload
from conftest import Project
from PIL import Image
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from afterimage import apply
from afterimage.core.images import encode_png
from afterimage.evaluation.baselines import holes as baselines

pytestmark = browsers.needed


def test_a_visitor_uploads_compares_and_downloads(page: Page, address: str, project: Project) -> None:
    files = sorted(project.root.rglob("*"))
    open_page(page, address, "")
    upload(page, "my photo.png", pictures.png(256, 192, seed=5))
    compare = page.get_by_role("slider", name="Divide before and after")
    compare.wait_for()
    page.get_by_text("small relu").first.wait_for()
    name, data = downloaded(page, "Result (PNG)")
    expected = apply.load(project.root, "small-relu")(pictures.noise(256, 192, seed=5))
    assert name == "my photo-small-relu.png"
    assert data == encode_png(expected)
    name, data = downloaded(page, "Side by side (PNG)")
    assert Image.open(io.BytesIO(data)).width > 3 * 256

    after = page.locator(".after")
    compare.fill("25")
    assert after.evaluate("element => element.style.clipPath") == "inset(0px 0px 0px 25%)"
    box = page.locator(".view").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 20)
    page.mouse.up()
    assert float(compare.input_value()) == pytest.approx(75, abs=1)
    page.get_by_role("button", name="Zoom in").click()
    assert "scale(1.5)" in after.locator("img").evaluate("element => element.style.transform")

    started = time.monotonic()
    page.locator("button[data-id=small-layer1]").click()
    page.get_by_role("heading", name="A closer look: layer1").wait_for()
    assert time.monotonic() - started < 10  # computed already; a busy machine, not a second computation
    assert sorted(project.root.rglob("*")) == files  # nothing is written


def test_a_visitor_draws_a_hole_and_it_is_filled(page: Page, address: str) -> None:
    open_page(page, address, "inpaint")
    upload(page, "mine.png", pictures.png(200, 100, seed=6))
    canvas = page.get_by_role("img", name="Draw over what is missing")
    expect(canvas).to_have_css("aspect-ratio", "200 / 100")
    page.get_by_text("Draw a box or a stroke over what is missing.").wait_for()
    canvas.scroll_into_view_if_needed()
    box = at_rest(page, canvas)
    scale = box["width"] / 200

    def drag(*points: tuple[float, float]) -> None:
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    drag((40, 20), (90, 60))
    page.get_by_role("button", name="Fill the hole").click()
    page.locator("button[data-id=Telea]").click()
    page.get_by_role("heading", name="A closer look: Telea").wait_for()
    _, data = downloaded(page, "Result (PNG)")
    image = np.array(pictures.noise(200, 100, seed=6))
    mask = np.zeros((100, 200), dtype=bool)
    mask[20:60, 40:90] = True
    expected = baselines.fill("telea", image, mask)
    result = np.asarray(Image.open(io.BytesIO(data)))
    assert (result == expected).all()

    canvas.scroll_into_view_if_needed()
    box = at_rest(page, canvas)
    page.get_by_role("button", name="Brush").click()
    drag((120, 30), (150, 70))
    page.get_by_text("10.0% of the picture is missing.").wait_for(state="detached")
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Draw a box or a stroke over what is missing.").wait_for()


def test_a_bad_file_is_one_sentence_on_the_page(page: Page, address: str) -> None:
    open_page(page, address, "")
    upload(page, "text.png", b"hello")
    box = page.get_by_role("alert")
    box.wait_for()
    assert box.inner_text().endswith(
        "text.png: not a picture in a known format; expected JPEG, PNG, WebP, HEIC or GIF."
    )


def test_the_camera_takes_a_picture(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})  # the camera takes what it shows: a small picture
    open_page(page, address, "")
    page.get_by_role("radio", name="Camera").click()
    cleared = page.get_by_role("button", name="Clear photo")
    for _ in range(20):  # the camera starts twice, and between the starts there is nothing to take
        page.get_by_role("button", name="Take Photo").click()
        page.wait_for_timeout(1000)
        if cleared.is_visible():
            break
    page.get_by_role("slider", name="Divide before and after").wait_for()


def test_the_picture_stays_when_the_page_changes_and_the_connection_is_lost(page: Page, address: str) -> None:
    sockets: list[WebSocketRoute] = []

    def through(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    page.route_web_socket("**/_stcore/stream", through)
    open_page(page, address, "")
    upload(page, "mine.png", pictures.png(200, 100, seed=6))
    page.get_by_role("slider", name="Divide before and after").wait_for()
    page.get_by_role("link", name="Inpaint").click()
    canvas = page.get_by_role("img", name="Draw over what is missing")
    canvas.wait_for()
    rest(page)
    sockets[-1].close()
    page.get_by_text("Connecting").wait_for()
    page.get_by_text("Connecting").wait_for(state="detached")
    rest(page)
    page.get_by_role("button", name="Two boxes").click()
    rest(page)
    page.get_by_role("button", name="Fill the hole").click()
    rest(page)
    page.locator("button[data-id=Telea]").click()
    page.get_by_role("heading", name="A closer look: Telea").wait_for()
    assert len(sockets) == 2
    expect(canvas).to_have_css("aspect-ratio", "200 / 100")


def test_a_revision_that_is_not_there_is_one_sentence(page: Page, address: str) -> None:
    open_page(page, address, "results")
    page.get_by_role("tab", name="Difference").click()
    page.get_by_role("combobox", name="Revision to compare with").fill("nobody")
    page.keyboard.press("Enter")
    page.get_by_text("There is no revision nobody here; expected a branch, a tag or a commit.").wait_for()


def test_the_pages_fit_a_phone(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(SLOW)
    for name in ("", "restore", "inpaint", "results"):
        open_page(page, address, name)
        page.wait_for_timeout(500)
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, name or "features"
    context.close()


def test_other_hosts_names_are_refused(address: str) -> None:
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection:
        headers = {
            "Host": "evil.example",
            "Origin": "http://evil.example",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version": "13",
        }
        lines = ["GET /_stcore/stream HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        assert b" 403 " in connection.recv(100)
