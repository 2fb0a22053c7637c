"""The page for everybody: axe-core on each page in light and dark, and what the keyboard and a finger do."""

import io

import browsers
import numpy as np
import pictures
import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import SLOW, at_rest, downloaded, open_page, rest, send, upload
from PIL import Image
from playwright.sync_api import Browser, Page, expect

pytestmark = browsers.needed
SEVERE = ("serious", "critical")


def faults(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)  # until colours have changed
    rest(page)  # what is out of date is pale
    found = Axe().run(page).response["violations"]
    nodes = [node for each in found if each["impact"] in SEVERE for node in each["nodes"]]
    return [f"{node['html']}: {node['failureSummary']}" for node in nodes]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_severe_fault(browser: Browser, address: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SLOW)
    for name in ("", "restore", "inpaint", "history", "results"):
        open_page(page, address, name)
        assert faults(page) == [], name or "features"
    open_page(page, address, "")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("Over after step").wait_for()
    page.get_by_text("Several pictures at once").click()
    page.get_by_role("radio", name="Upload", exact=True).click()
    rest(page)
    assert faults(page) == []
    send(page, "text.png", b"hello")
    page.get_by_role("alert").wait_for()
    assert faults(page) == []
    page.get_by_role("link", name="Inpaint").click()
    rest(page)
    upload(page, "mine.png", pictures.png(64, 48))
    page.get_by_role("button", name="Two boxes").click()
    page.get_by_role("button", name="Fill the hole").click()
    page.get_by_role("heading", name="Where the samples differ").wait_for()
    rest(page)
    assert faults(page) == []
    page.get_by_role("link", name="History").click()
    page.get_by_role("heading", name="A closer look").wait_for()
    rest(page)
    assert faults(page) == []
    page.get_by_role("link", name="Results").click()
    for tab in ("Figures", "Training", "Difference"):
        page.get_by_role("tab", name=tab).click()
        rest(page)
        assert faults(page) == [], tab
    context.close()


def test_the_keyboard_moves_the_divider_by_steps_that_are_seen(page: Page, address: str) -> None:
    open_page(page, address, "")
    upload(page, "mine.png", pictures.png(64, 48))
    divider = page.get_by_role("slider", name="Divide before and after")
    divider.focus()
    for key, share in (("ArrowRight", 55), ("ArrowUp", 60), ("ArrowLeft", 55), ("End", 100), ("ArrowRight", 100)):
        divider.press(key)
        assert float(divider.input_value()) == share
        assert page.locator(".after").evaluate("each => each.style.clipPath") == f"inset(0px 0px 0px {share}%)"
    assert divider.get_attribute("aria-valuetext") == "100 % original"
    assert [page.locator(f".{side} img").get_attribute("alt") for side in ("before", "after")] == [
        "original",
        "small relu",
    ]


def test_what_is_drawn_is_erased_undone_and_done_again(page: Page, address: str) -> None:
    open_page(page, address, "inpaint")
    upload(page, "mine.png", pictures.png(200, 100, seed=6))
    canvas = page.get_by_role("img", name="Draw over what is missing")
    expect(canvas).to_have_css("aspect-ratio", "200 / 100")
    page.get_by_text("Draw a box or a stroke over what is missing.").wait_for()

    def drag(*points: tuple[float, float]) -> None:
        canvas.scroll_into_view_if_needed()
        box = at_rest(page, canvas)
        scale = box["width"] / 200
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * scale, box["y"] + y * scale)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    def missing(share: str) -> None:
        page.get_by_text(f"{share} of the picture is missing.").wait_for()
        rest(page)

    undo, redo = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
    assert undo.is_disabled() and redo.is_disabled()
    drag((40, 20), (90, 60))
    missing("10.0%")
    page.get_by_role("button", name="Eraser").click()
    page.get_by_role("slider", name="Brush width").fill("20")
    drag((40, 60), (90, 60))
    missing("7.7%")
    undo.click()
    missing("10.0%")
    redo.click()
    missing("7.7%")
    assert redo.is_disabled()
    page.get_by_role("button", name="Fill the hole").click()
    page.locator("button[data-id=Telea]").click()
    page.get_by_role("heading", name="A closer look: Telea").wait_for()
    _, data = downloaded(page, "Result (PNG)")
    changed = (np.asarray(Image.open(io.BytesIO(data))) != np.asarray(pictures.noise(200, 100, seed=6))).any(-1)
    assert changed[20:50, 40:90].mean() > 0.9
    assert not changed[51:].any()

    page.get_by_role("button", name="Clear").click()
    page.get_by_text("Draw a box or a stroke over what is missing.").wait_for()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Move", exact=True).click()
    sheet = page.locator(".sheet")
    box = at_rest(page, sheet)
    before = sheet.evaluate("each => [each.scrollLeft, each.scrollTop]")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 30, box["y"] + box["height"] / 2 + 20)
    page.mouse.up()
    after = sheet.evaluate("each => [each.scrollLeft, each.scrollTop]")
    assert np.subtract(before, after) == pytest.approx([30, 20], abs=1)
    page.get_by_text("Draw a box or a stroke over what is missing.").wait_for()  # moving draws nothing
