"""The report in a real browser: nothing is cut off on a desk, a tablet or a phone, and its contents lead somewhere."""

from collections.abc import Iterator

import browsers
import pytest
from conftest import Project
from playwright.sync_api import Browser, Page

pytestmark = browsers.needed
WIDTHS = (1440, 1024, 390)
CUT_OFF = """() => [...document.querySelectorAll("main *")]
  .filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display != "inline"
    && !["auto", "scroll"].includes(getComputedStyle(each).overflowX))
  .map(each => `${each.tagName} ${each.className}: ${each.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.opened() as browser:
        yield browser


@pytest.fixture(params=WIDTHS)
def page(browser: Browser, project: Project, request: pytest.FixtureRequest) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.goto((project.root / "reports/index.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    yield page
    page.close()


def test_nothing_is_cut_off(page: Page) -> None:
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    broken = "[...document.images].filter(each => !each.naturalWidth).map(each => each.src)"
    assert page.evaluate(broken) == []


def test_contents_stay_in_view_and_lead_to_their_parts(page: Page) -> None:
    links = page.locator("nav a")
    assert links.count() >= 5
    for number in range(links.count()):
        link = links.nth(number)
        place = page.locator(str(link.get_attribute("href")))
        assert place.count() == 1
        link.click()
        place.scroll_into_view_if_needed()
        nav, found = page.locator("nav").bounding_box(), place.bounding_box()
        assert nav is not None and found is not None
        assert nav["y"] == pytest.approx(0, abs=1)
        assert found["y"] >= nav["height"] - 1, f"{link.text_content()} lies under the contents"


def test_every_number_of_a_table_leads_to_what_it_means(page: Page) -> None:
    wanted = page.evaluate("[...document.querySelectorAll('th a, p a[href^=\"#metric\"]')].map(each => each.hash)")
    assert len(set(wanted)) > 8
    assert [each for each in set(wanted) if page.locator(each).count() != 1] == []
