"""What a reader sees of the pages of a report."""

import html
import re
from pathlib import Path


def text(page: str = "index.html") -> str:
    """All of a page, white space evened out."""
    return seen(Path("reports", page).read_text(encoding="utf-8").partition("</style>")[2])


def line(name: str) -> str:
    """The line of a table that names a row."""
    body = Path("reports/index.html").read_text(encoding="utf-8")
    found = [row for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL) if f"<code>{name}</code>" in row]
    assert len(found) == 1, name
    return seen(found[0])


def seen(body: str) -> str:
    return re.sub(r"[ \n]+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def overview() -> str:
    """The table of the overview."""
    return text().partition("All settings")[2].partition("The difference is taken image by image")[0]
