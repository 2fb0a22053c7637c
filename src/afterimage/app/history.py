"""The page History: the results that a visitor looked at in this session, to compare and to take home."""

import io
import zipfile
from collections.abc import Sequence

import streamlit as st
from PIL import Image

from afterimage.app import kept, widgets
from afterimage.app.widgets import Result
from afterimage.core.images import encode_png

MAX_SHOWN = 48
"""Results that are listed, the latest."""
PICTURE = "its own picture"


def show() -> None:
    found: list[Result] = list(kept.every(widgets.HISTORY, "").values())[-MAX_SHOWN:]
    if not found:
        st.info("Nothing yet. What you look at closely on the other pages is listed here.", icon=":material/history:")
        return
    names = {f"{number}": result for number, result in enumerate(found, start=1)}
    titles = {number: f"{number}. {result.picture.name}, {result.title}" for number, result in names.items()}
    cells = [
        widgets.Cell(number, result.image, titles[number], result.notes)
        for number, result in reversed(list(names.items()))
    ]
    looked = widgets.gallery(cells, "history", small=True)
    st.header(f"A closer look: {widgets.verbatim(titles[looked])}", anchor=False)
    left, right = st.columns([3, 1], gap="large")
    with right:
        others = [PICTURE, *(number for number in reversed(names) if number != looked)]
        other = st.selectbox(
            "Compare with", others, format_func=lambda name: titles.get(name, name), key="history-other"
        )
        chosen = names[looked]
        beside = chosen.picture.image if other == PICTURE else names[other].image
        if beside.size != chosen.image.size:
            beside = beside.resize(chosen.image.size, Image.Resampling.BICUBIC)
        kept.put("compared", "", "", (beside, chosen.image))
        kept.put("listed", "", "", tuple(found))
        pair = kept.later("compared", "", "", lambda images: encode_png(widgets.pair(*images)))
        one = kept.later("compared", "", "", lambda images: encode_png(images[1]))
        name = f"{chosen.picture.name}-{widgets.file_part(chosen.title)}"
        widgets.download("Result (PNG)", one, f"{name}.png", "history-png")
        widgets.download("Side by side (PNG)", pair, f"{name}-comparison.png", "history-side")
        widgets.download("All results (zip)", kept.later("listed", "", "", zipped), "afterimage.zip", "history-zip")
    with left:
        widgets.compare(beside, chosen.image, (titles.get(other, "picture"), titles[looked]), "history-compare")
    st.caption("Kept in memory until you leave, as far as there is room; nobody else sees it.")


def zipped(found: Sequence[Result]) -> bytes:
    """All results in a zip, numbered as on the page."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, result in enumerate(found, start=1):
            name = f"{number:02d}-{result.picture.name}-{widgets.file_part(result.title)}.png"
            archive.writestr(name, encode_png(result.image))
    return stream.getvalue()
