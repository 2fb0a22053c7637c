"""The frame around each page: its question, its navigation, its looks."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import streamlit as st

from afterimage.app import features, fill, history, models, restore, results, widgets
from afterimage.app.places import Places
from afterimage.core.errors import AfterimageError

RUNS = 4
"""Visitors whose pictures are worked on at a time; the others wait."""
MAX_WAIT_SECONDS = 300


PLACES = Places(RUNS)


class Entry(NamedTuple):
    """A page: one question."""

    name: str
    icon: str
    question: str
    lede: str
    show: Callable[[], None]
    kind: str | None = None
    """Of the observations whose rows it applies."""


ENTRIES = (
    Entry(
        "Features",
        ":material/layers:",
        "What does a layer keep?",
        "Your picture goes through a network, and only the features of one layer are kept. A trained row rebuilds "
        "the picture from them, which shows how much of it that layer still holds.",
        features.show,
        features.KIND,
    ),
    Entry(
        "Restore",
        ":material/auto_fix_high:",
        "What was in front of the camera?",
        "Each method restores a dark, blurred, small or noisy picture. Take one of your own, or degrade a good one.",
        restore.show,
        restore.KIND,
    ),
    Entry(
        "Inpaint",
        ":material/healing:",
        "What was behind the hole?",
        "Draw over what is missing or should go. Each method fills the hole; pixels outside it stay as they are.",
        fill.show,
        fill.KIND,
    ),
    Entry(
        "History",
        ":material/history:",
        "Which of them is better?",
        "The results that you looked at since you came, to compare with each other and to take home.",
        history.show,
    ),
    Entry(
        "Results",
        ":material/monitoring:",
        "How good is it, and did it change?",
        "Metrics and figures of the current run on the test split, and their difference to another Git revision.",
        results.show,
    ),
)


def main() -> None:
    """What Streamlit runs for each visitor, from the top, whenever something was pressed."""
    st.set_page_config(page_title="Afterimage", page_icon=str(widgets.ASSETS / "icon.svg"), layout="wide")
    st.logo(str(widgets.ASSETS / "logo.svg"), size="large")
    st.html(f"<style>{(widgets.ASSETS / 'frame.css').read_text(encoding='utf-8')}</style>")
    first = opens()
    pages = [
        st.Page(_unused, title=entry.name, icon=entry.icon, url_path=entry.name.lower(), default=entry.name == first)
        for entry in ENTRIES
    ]
    # Not run by Streamlit but from here, so that the picture and how it is chosen are the same on all pages
    page(st.navigation(pages, position="top").title)


def opens() -> str:
    """The page that a visitor comes to: the first with rows to apply."""
    try:
        return next((entry.name for entry in ENTRIES if entry.kind and models.usable(entry.kind)), ENTRIES[0].name)
    except AfterimageError:  # which that page says
        return ENTRIES[0].name


def _unused() -> None:
    """What Streamlit wants for each page."""


@contextmanager
def _place() -> Iterator[None]:
    """A place among the runs that work on pictures at a time, waited for."""
    said, ticket, ends = st.empty(), PLACES.enter(), time.monotonic() + MAX_WAIT_SECONDS
    try:
        while not ticket.wait(1):
            if time.monotonic() > ends:
                raise AfterimageError("Too many visitors are at work here; try again in a minute.")
            place = f"place {PLACES.ahead(ticket) + 1} in the queue."
            said.caption(f"Waiting for other visitors' pictures: {place}")  # Streamlit stops here if nobody waits
        said.empty()
        yield
    finally:
        PLACES.leave(ticket)


def page(name: str) -> None:
    """A page by its name; whatever goes wrong on it is one sentence there, and a traceback in the log alone."""
    entry = next(entry for entry in ENTRIES if entry.name == name)
    st.title(entry.question, anchor=False)
    st.html(f'<p class="lede">{entry.lede}</p>')
    try:
        with _place():
            entry.show()
    except AfterimageError as error:
        widgets.say(error)
    except Exception:
        logging.getLogger(__name__).exception("The page %s failed", name)
        widgets.say("Something went wrong here that is not your fault; the server's log says what.")
