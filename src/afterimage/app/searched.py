"""The part of the page Features that searches: it starts a search, shows how far it is, and what came of it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from afterimage.app import models, searches, widgets
from afterimage.app.safety import Picture
from afterimage.app.searches import Phase, Search

SIDES = (64, 96, 128, 192, 256)
"""Longest sides in px to choose from: the time of a search grows with the pixels."""
FIRST = 128
EVERY = 0.5
"""Seconds between two looks at a search."""
BEGINS, FOUND, GIVEN = "where it began", "found", "given"


class Wanted(NamedTuple):
    """A search that a visitor asked for."""

    picture: Picture
    """The visitor's, as large as it is."""
    label: str
    """What the page calls the row."""
    search: Search


def show(picture: Picture, rows: Mapping[str, str]) -> None:
    """Let the visitor search for a picture by rows of `searches`, each with what the page calls it."""
    st.header("Search for the picture", anchor=False)
    st.caption(
        "A picture is changed step by step until its features are those that are kept. Nothing is trained for it; "
        f"it takes a minute or so and ends after {searches.SEARCH_SECONDS // 60} minutes at the latest."
    )
    left, middle, right = st.columns([2, 2, 1], vertical_alignment="bottom")
    row = left.selectbox("Layer", list(rows), format_func=rows.__getitem__, key="search-row")
    side = middle.select_slider("Longest side, px", SIDES, value=FIRST, key="search-px", help="Smaller is faster.")
    wanted: Wanted | None = st.session_state.get("search")
    if wanted is not None and wanted.picture.digest != picture.digest:
        wanted.search.run.stop()
        del st.session_state["search"]
        wanted = None
    running = wanted is not None and not wanted.search.run.over
    if right.button("Search", type="primary", key="search-go", disabled=running, width="stretch"):
        wanted = Wanted(picture, rows[row], Search(models.project(), row, reduced(picture.image, side)))
        st.session_state["search"] = wanted
        st.rerun()  # so that the button knows
    if wanted is None:
        return
    if running:
        _progress()
    else:
        _result(wanted)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """An image whose sides are at most so many px."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


@st.fragment(run_every=EVERY)
def _progress() -> None:
    """How far the search is, looked at anew by itself until it is over."""
    wanted: Wanted | None = st.session_state.get("search")
    if wanted is None or wanted.search.run.over:
        st.rerun()
    run = wanted.search.run
    bar, button = st.columns([4, 1], vertical_alignment="center")
    bar.progress(run.number / run.of if run.of else 0.0, _standing(wanted))
    label = "Cancel" if run.phase in (Phase.WAITING, Phase.LOADING) else "Stop"
    button.button(label, key="search-stop", on_click=run.stop, width="stretch", icon=":material/stop_circle:")
    if run.image is not None:
        widgets.gallery(_cells(wanted), "searching", first=FOUND)


def _standing(wanted: Wanted) -> str:
    run = wanted.search.run
    if run.phase == Phase.WAITING:
        return f"Waiting for other visitors' searches: place {run.ahead + 1} in the queue"
    if run.phase == Phase.LOADING:
        return f"Loading {widgets.verbatim(wanted.search.row)}, {run.seconds:.0f} s"
    words = [f"Step {run.number} of {run.of}"]
    if run.error is not None:
        words.append(f"feature error {run.error:.2g}")
    if run.seconds_left is not None:
        words.append(f"{widgets.seconds(run.seconds_left)} left at most")
    return ", ".join(words)


def _cells(wanted: Wanted) -> list[widgets.Cell]:
    given, run = wanted.search.given, wanted.search.run
    cells = [widgets.Cell(GIVEN, given, GIVEN, [f"{given.width} x {given.height} px"])]
    if run.begins is not None:
        cells.append(widgets.Cell(BEGINS, run.begins, BEGINS, [f"{_psnr(wanted, run.begins)}, by a trained row"]))
    if run.image is not None:
        error = "" if run.error is None else f", feature error {run.error:.2g}"
        cells.append(widgets.Cell(FOUND, run.image, FOUND, [_psnr(wanted, run.image) + error]))
    return cells


def _psnr(wanted: Wanted, image: Image.Image) -> str:
    given, found = (np.asarray(each)[None] for each in (wanted.search.given, image))
    return f"{models.psnr(given, found):.2f} dB"


def _result(wanted: Wanted) -> None:
    run, given = wanted.search.run, wanted.search.given
    if run.phase == Phase.FAILED:
        widgets.say(run.fault)
    if run.image is None:
        return
    ends = {
        Phase.DONE: f"Over after step {run.number}",
        Phase.STOPPED: f"Stopped at step {run.number} of {run.of}",
        Phase.LATE: f"Out of time at step {run.number} of {run.of}",
        Phase.FAILED: f"Broken off at step {run.number} of {run.of}",
    }
    whole = wanted.picture.image
    small = "" if whole.size == given.size else f", reduced from {whole.width} x {whole.height} px"
    st.caption(f"{ends[run.phase]}. The picture was {given.width} x {given.height} px{small}.")
    looked = widgets.gallery(_cells(wanted), "searched", first=FOUND)
    if looked == GIVEN:
        return
    image = run.begins if looked == BEGINS else run.image
    original = wanted.picture._replace(image=given)
    made = models.once(wanted.picture, ("search", wanted.search, looked), lambda: models.Made(image, run.steps_seconds))
    widgets.result(original, made, f"{wanted.label} {looked}", "search")
