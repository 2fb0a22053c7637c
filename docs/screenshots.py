"""Take the README's pictures of the web page anew: `afterimage app` in one terminal, this script in another.

They show the bundled photographs only, and what the rows that are trained here make of them.
"""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
WIDTH = 1180
SHOWN = 1000
MAX_BYTES = 300_000


def features(page: Page) -> None:
    page.locator("button[data-id=vgg16-relu4_3]").click()
    page.get_by_role("heading", name="A closer look: relu4_3").wait_for()


def restore(page: Page) -> None:
    page.get_by_role("button", name="grace hopper").click()
    page.get_by_text("U.S. Navy").wait_for()
    page.wait_for_timeout(5000)
    page.get_by_role("button", name="zoo/real-blind").last.click()
    page.get_by_role("heading", name="A closer look: zoo/real-blind").wait_for()


def inpaint(page: Page) -> None:
    page.get_by_role("button", name="coffee").click()
    page.get_by_text("Rachel Michetti").wait_for()
    page.wait_for_timeout(2000)
    canvas = page.get_by_role("img", name="Draw over what is missing")

    def drag(*points: tuple[float, float]) -> None:
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=4)
            if number == 0:
                page.mouse.down()
        page.mouse.up()
        page.wait_for_timeout(1000)

    drag((0.12, 0.18), (0.25, 0.36))
    drag((0.62, 0.55), (0.78, 0.78))
    page.get_by_role("button", name="Brush").click()
    drag((0.38, 0.84), (0.5, 0.9), (0.56, 0.82))
    fill = page.get_by_role("button", name="Fill the hole")
    if fill.count():
        fill.click()
    page.get_by_role("heading", name="A closer look").wait_for()


def results(page: Page) -> None:
    page.get_by_role("heading", name="Features").wait_for()


PICTURES: dict[str, tuple[str, Callable[[Page], None], int, bool]] = {
    "features": ("", features, 1230, False),
    "restore": ("restore", restore, 1560, False),
    "inpaint": ("inpaint", inpaint, 1640, True),
    "results": ("results", results, 1230, False),
}
"""By the name of the file: the page, what a visitor does there, the height that is kept, and whether it is dark."""


def main(address: str = "http://127.0.0.1:8501") -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (path, visit, height, dark) in PICTURES.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="dark" if dark else "light")
            page.set_default_timeout(120_000)
            page.goto(f"{address}/{path}")
            visit(page)
            page.set_viewport_size({"width": WIDTH, "height": height})
            page.mouse.move(2, 300)
            page.locator("[data-testid=stMain]").evaluate("element => element.scrollTo(0, 0)")
            page.wait_for_timeout(2000)
            save(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), IMAGES / f"{name}.png")
            page.close()
        browser.close()


def save(image: Image.Image, path: Path) -> None:
    """Write a picture with as many colours as its size allows."""
    image = image.resize((SHOWN, image.height * SHOWN // image.width), Image.Resampling.LANCZOS)
    for colours in (256, 192, 128, 64):
        image.quantize(colours, method=Image.Quantize.MEDIANCUT).save(path, "PNG", optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
