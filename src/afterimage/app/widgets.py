"""Components that the pages share: pictures to choose from, before and after, a mask to draw, a result to take home.

Everything that the browser runs lies in `assets/`; nothing is loaded from elsewhere, so the page works offline.
"""

import base64
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from PIL import Image

from afterimage.app import kept, models
from afterimage.app.safety import Picture
from afterimage.core.errors import AfterimageError
from afterimage.core.images import encode_png
from afterimage.observations.holes.masks import Mask

ASSETS = Path(__file__).parent / "assets"
SHOWN = 1600
"""Longest side in px of a picture as the browser gets it; downloads are whole."""
LOSSLESS = 1_000_000
"""Pixels up to which the browser gets a picture as it is."""

MIME = {"png": "image/png", "mp4": "video/mp4", "zip": "application/zip"}


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


_gallery = st.components.v2.component(
    "afterimage-gallery", html='<div class="gallery"></div>', css=_asset("gallery.css"), js=_asset("gallery.js")
)
_compare = st.components.v2.component(
    "afterimage-compare", html=_asset("compare.html"), css=_asset("compare.css"), js=_asset("compare.js")
)
_canvas = st.components.v2.component(
    "afterimage-canvas", html=_asset("canvas.html"), css=_asset("canvas.css"), js=_asset("canvas.js")
)


class Number(NamedTuple):
    """How a number is printed."""

    heading: str
    form: str


NUMBERS = {
    "psnr": Number("PSNR", "{:.2f} dB"),
    "psnr_hole": Number("In the hole", "{:.2f} dB"),
    "ssim": Number("SSIM", "{:.3f}"),
    "lpips": Number("LPIPS", "{:.4f}"),
    "lpips_untrained": Number("lpips_untrained", "{:.4f}"),
}
Measure = Callable[[Image.Image, Image.Image], dict[str, float]]


HISTORY = "history"
"""The group of what `kept` holds of the results that a visitor looked at."""


class Result(NamedTuple):
    """A result of this session."""

    picture: Picture
    """What it was made from, or should be."""
    image: Image.Image
    title: str
    notes: Sequence[str]


class Cell(NamedTuple):
    """A picture in a gallery."""

    id: str
    image: Image.Image
    title: str
    notes: Sequence[str] = ()


def gallery(cells: Sequence[Cell], key: str, small: bool = False, first: str | None = None) -> str:
    """Pictures to choose from; returns the id of the chosen one, at first `first` or that of the first."""
    ids = [cell.id for cell in cells]
    before = st.session_state.get(key, {}).get("chosen")
    current = next(id for id in (before, first, ids[0]) if id in ids)
    longest = 240 if small else 640
    items = [
        {
            "id": cell.id,
            "src": source(cell.image, longest),
            "title": cell.title,
            "notes": list(filter(None, cell.notes)),
        }
        for cell in cells
    ]
    ratio = "4 / 3" if small else f"{cells[0].image.width} / {cells[0].image.height}"
    style = {"least": "7rem", "share": "30%"} if small else {"least": "12.5rem", "share": "46%"}
    _gallery(
        key=key,
        data={"items": items, "chosen": current, "style": {**style, "ratio": ratio}},
        on_chosen_change=lambda: None,
    )
    return current


def compare(before: Image.Image, after: Image.Image, labels: tuple[str, str], key: str) -> None:
    """Two pictures of one size under a divider that the visitor moves, with zoom."""
    _compare(
        key=key,
        data={
            "before": source(before),
            "after": source(after),
            "labels": labels,
            "width": before.width,
            "height": before.height,
        },
    )


def alone(image: Image.Image, words: str) -> None:
    """A picture alone, as large as there is room, and what it is in words."""
    st.image(source(image), alt=words, width=image.width if image.width < 760 else "stretch")


def canvas(picture: Picture) -> Any:
    """A picture to draw boxes and strokes on; returns the shapes as the browser tells them."""
    key = f"canvas-{picture.digest}"
    image = picture.image
    result = _canvas(
        key=key,
        data={"image": source(image), "width": image.width, "height": image.height},
        default={"shapes": []},
        on_shapes_change=lambda: None,
    )
    return result.shapes or []


def source(image: Image.Image, longest: int = SHOWN) -> str:
    """A picture as an address that holds it: as it is where it is small, else shrunk and lightly compressed."""
    shown = image
    if max(image.size) > longest:
        shown = image.copy()
        shown.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if shown is image and image.width * image.height <= LOSSLESS:
        kind, data = "png", encode_png(image)
    else:
        stream = io.BytesIO()
        shown.save(stream, "JPEG", quality=92, subsampling=0)
        kind, data = "jpeg", stream.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def say(error: AfterimageError | str) -> None:
    """An error box of one sentence; nothing in it counts as markup."""
    st.error(verbatim(str(error)), icon=":material/error:")


def verbatim(text: str) -> str:
    """Text in which Markdown finds nothing."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$<>:&])", r"\\\1", text)


def missing(observes: str) -> None:
    """Say that no row of a kind of observation is trained here, and which command trains one."""
    names = [name for name, section in models.rows(observes).items() if section == models.TRAINED]
    if not names:
        st.info(
            f"No row of `{models.TRAINED}` in params.yaml has `observes: {observes}`, so there is none to apply.",
            icon=":material/info:",
        )
        return
    st.info(
        f"No row that observes {observes} is trained here yet. `make repro` trains all rows, and "
        f"`dvc repro evaluate@{names[0]}` this one alone; `dvc pull` fetches what others have trained.",
        icon=":material/model_training:",
    )


def terms(rows: Mapping[str, models.Row], chosen: Sequence[str]) -> None:
    """Say what follows from what the chosen rows of the zoo were trained on; nothing of those trained here."""
    for name in chosen:
        if about := rows[name].card.get("about"):
            st.caption(verbatim(f"{name}: {about['licence']}"))


def intensity(image: Image.Image, factor: float, where: Mask | None = None) -> Image.Image:
    """An image with its samples multiplied and kept in range, everywhere or `where` `[H, W]` alone."""
    if factor == 1:
        return image
    changed = image.point([min(255, round(level * factor)) for level in range(256)] * len(image.getbands()))
    return changed if where is None else Image.composite(changed, image, Image.fromarray(where))


def shown_numbers(found: Mapping[str, float]) -> list[tuple[str, str]]:
    """Headings and values of numbers as the pages print them."""
    return [(NUMBERS[name].heading, NUMBERS[name].form.format(value)) for name, value in found.items()]


def summary(found: Mapping[str, float]) -> str:
    """PSNR and SSIM in a line, as far as they were measured."""
    return " · ".join(text if name == "PSNR" else f"{name} {text}" for name, text in shown_numbers(found)[:2])


def result(
    picture: Picture,
    made: models.Made,
    title: str,
    key: str,
    measure: Measure | None = models.numbers,
    given: Image.Image | None = None,
    where: Mask | None = None,
) -> None:
    """A result beside what it was made from: divider and zoom, intensity, numbers, downloads. It becomes a part of the
    session's history.

    Args:
        made: its value is an image of the picture's size.
        measure: from the original and a result to numbers; None where the picture is not the original.
        given: what the model was given, where that is not the picture itself.
        where: the pixels `[H, W]` that the model made, where the others are the picture's.
    """
    looks, panel = st.columns([3, 1], gap="large")
    with panel:
        factor = st.slider(
            "Output intensity",
            0.5,
            2.0,
            1.0,
            0.05,
            key=f"{key}-intensity",
            help="Multiplies the result. Numbers and downloads are of the picture as shown.",
        )
        image = intensity(made.value, factor, where)
        found = models.once(picture, (key, made, factor), lambda: measure(picture.image, image)) if measure else {}
        with st.container(horizontal=True, gap="small"):
            for name, value in [*shown_numbers(found), ("Time", seconds(made.seconds))]:
                st.metric(name, value, width=92)
        notes = [summary(found), *([f"intensity {factor:g}"] if factor != 1 else []), seconds(made.seconds)]
        kept.once(HISTORY, "", (picture.digest, key, made, factor), lambda: Result(picture, image, title, notes))
        large = image.width * image.height > models.MAX_MEASURED
        if measure and large:
            st.caption(f"SSIM and LPIPS are measured up to {models.MAX_MEASURED / 1e6:.0f} megapixels.")
        name = f"{picture.name}-{file_part(title)}"
        beside = picture.image if given is None else given
        shown = ("picture", picture.digest, (key, "shown"))
        kept.put(*shown, (picture.image, image, beside))  # a download holds on to no picture itself

        def side_by_side(images: tuple[Image.Image, ...]) -> bytes:
            original, result, before = images
            if given_apart or not measure or large:
                return encode_png(pair(before, result, *([original] if given_apart and measure else [])))
            return encode_png(_compared(original, result, title))

        given_apart = given is not None
        download("Result (PNG)", kept.later(*shown, lambda images: encode_png(images[1])), f"{name}.png", f"{key}-png")
        download("Side by side (PNG)", kept.later(*shown, side_by_side), f"{name}-comparison.png", f"{key}-side")
    with looks:
        compare(beside, image, ("original" if given is None else "given", title), key=f"{key}-compare")


def _compared(original: Image.Image, image: Image.Image, title: str) -> Image.Image:
    from afterimage import apply

    return apply.comparison(original, apply.measure(original, image), title)


def pair(*pictures: Image.Image) -> Image.Image:
    """Pictures of one size beside each other."""
    width, height = pictures[0].size
    gap = 12
    page = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for place, picture in enumerate(pictures):
        page.paste(picture, (place * (width + gap), 0))
    return page


def download(label: str, data: Callable[[], bytes], name: str, key: str) -> None:
    """A button that makes its file when it is pressed, and when it is its turn."""

    def made() -> bytes:
        with models.TURN:
            return data()

    st.download_button(
        label,
        made,
        name,
        key=key,
        mime=MIME[name.rpartition(".")[2]],
        icon=":material/download:",
        width="stretch",
        on_click="ignore",
    )


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def file_part(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", title).strip("-")
