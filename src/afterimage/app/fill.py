"""The page Inpaint: a hole in a picture, filled by every method that there is."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import streamlit as st
from PIL import Image

from afterimage.app import inputs, models, safety, widgets
from afterimage.app.safety import Picture
from afterimage.errors import AfterimageError
from afterimage.observations import masks
from afterimage.observations.masks import Mask, Missing

INPAINTERS, COMPLETERS = "inpainters", "completers"
CLASSICAL = "classical"
TITLES = {"telea": "Telea", "navier_stokes": "Navier-Stokes", "border_mean": "Mean of the border"}
MISSING: tuple[Missing, ...] = ("auto", "white", "black")
GREY = 128
Method = tuple[str, str]
"""A family and a row of it, or `CLASSICAL` and a method's name."""
SPREAD_TOP = 0.25


class Holed(NamedTuple):
    """A picture and what is missing of it."""

    picture: Picture
    mask: Mask
    digest: str
    """Of the mask."""
    whole: bool
    """Whether the missing part of the picture is the truth, so that a result can be measured."""

    def given(self) -> Image.Image:
        """The picture as a method gets it: with nothing where something is missing."""
        pixels = np.array(self.picture.image)
        pixels[self.mask] = GREY
        return Image.fromarray(pixels)


class Filled(NamedTuple):
    """A hole as one method fills it."""

    title: str
    made: models.Made
    notes: list[str]
    spread: npt.NDArray[np.float32] | None = None
    """`[H, W]`: how much the samples differ, where several were drawn."""


def show() -> None:
    picture = inputs.picture()
    if picture is None:
        return
    st.subheader("What is missing", anchor=False)
    holed = _holed(picture)
    for family, what in ((INPAINTERS, "inpainter (pix2pix)"), (COMPLETERS, "completer (PixelRNN)")):
        if not models.trained(family):
            widgets.missing(family, what)
    methods = _methods()
    first = [title for title, (family, row) in methods.items() if family != CLASSICAL or row == "telea"]
    titles = st.pills("Methods", list(methods), default=first, selection_mode="multi", key="methods")
    chosen = {title: method for title, method in methods.items() if title in titles}
    drawing = _drawing() if any(family == COMPLETERS for family, _ in chosen.values()) else {}
    if holed is None:
        st.info("Draw a box or a stroke over what is missing.", icon=":material/draw:")
        return
    if drawing:  # samples take their time, so they wait to be asked for
        wanted = (holed.picture.digest, holed.digest, *titles, *drawing.values())
        if st.button("Fill the hole", type="primary", key="fill"):
            st.session_state["filled"] = wanted
        if st.session_state.get("filled") != wanted:
            return
    found = _fill(holed, chosen, drawing)
    if found:
        _results(holed, found)


def _methods() -> dict[str, Method]:
    """Every method by its title: the trained rows first."""
    found: dict[str, Method] = {}
    for family in (INPAINTERS, COMPLETERS):
        for row in models.trained(family):
            found[f"{row} ({family})" if row in found else row] = (family, row)
    return found | {title: (CLASSICAL, method) for method, title in TITLES.items()}


def _holed(picture: Picture) -> Holed | None:
    """Let the visitor say what is missing; None until something is."""
    how = st.segmented_control(
        "Mask", ["Draw", "Upload a mask"], default="Draw", key="mask", label_visibility="collapsed", required=True
    )
    size = picture.image.size
    mask: Mask | None = None
    try:
        if how == "Draw":
            shapes = widgets.canvas(picture)
            mask = safety.mask_from_shapes(shapes, size) if shapes else None
        else:
            left, right = st.columns([3, 1])
            file = left.file_uploader(
                "A black and white picture of the same size", type=["png", "jpg", "jpeg", "webp"], key="mask-file"
            )
            missing = right.selectbox("Missing is", MISSING, key="mask-missing")
            mask = safety.mask_from_file(file.name, file.getvalue(), size, missing) if file else None
        if mask is not None:
            masks.check(mask, size[1], size[0], "The drawing")
    except AfterimageError as error:
        widgets.say(error)
        return None
    whole = st.toggle(
        "The picture is whole: measure results against it",
        value=True,
        key="whole",
        help="Turn this off for a picture that is really damaged: nothing is known about what was there.",
    )
    if mask is None:
        return None
    st.caption(f"{mask.mean():.1%} of the picture is missing.")
    return Holed(picture, mask, hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:24], whole)


def _drawing() -> dict[str, Any]:
    """How a completer draws its samples."""
    first, second, third = st.columns(3)
    return {
        "samples": first.slider("Samples", 1, 8, 4, key="samples", help="Completions that are drawn, each a guess."),
        "temperature": second.slider(
            "Temperature", 0.1, 1.5, 1.0, 0.05, key="temperature", help="Less draws what is likely, more what is rare."
        ),
        "seed": int(third.number_input("Seed", 0, 10_000, 0, key="seed")),
    }


def _fill(holed: Holed, chosen: dict[str, Method], drawing: dict[str, Any]) -> list[Filled]:
    """What each method makes of the hole, the missing pixels blanked before any method sees them."""
    given = holed.given()
    found: list[Filled] = []
    bar = st.empty()
    for number, (title, (family, row)) in enumerate(chosen.items()):
        bar.progress(number / len(chosen), f"Filling by {widgets.verbatim(title)}")
        try:
            if family == CLASSICAL:
                made = models.once(holed.picture, (row, holed.digest), partial(_classical, row, given, holed.mask))
                found.append(Filled(title, made, _notes(holed, made)))
            elif family == INPAINTERS:
                made = models.apply(family, row, holed.picture, lambda use: use(given, holed.mask), holed.digest)
                found.append(Filled(title, made, _notes(holed, made)))
            else:
                complete: Callable[[Any], Any] = lambda use: use(given, holed.mask, **drawing)  # noqa: E731
                made = models.apply(family, row, holed.picture, complete, holed.digest, *drawing.values())
                found += _completed(holed, title, made)
        except AfterimageError as error:
            widgets.say(error)
    bar.empty()
    return found


def _classical(method: str, given: Image.Image, mask: Mask) -> models.Made:
    from afterimage.reconstructors import classical_holes

    pixels = np.asarray(given)
    return models.Shared(method).run(lambda name: Image.fromarray(classical_holes.fill(name, pixels, mask)))


def _completed(holed: Holed, title: str, made: models.Made) -> list[Filled]:
    """The mean of a completer's samples, how much they differ, and the samples themselves."""
    images = {"mean": made.value.mean}
    images |= {f"sample {number}": image for number, image in enumerate(made.value.samples, start=1)}
    found = []
    for what, image in images.items():
        one = models.once(holed.picture, (title, what, made), partial(models.Made, image, made.seconds))
        spread = made.value.spread if what == "mean" else None
        found.append(Filled(f"{title}, {what}", one, _notes(holed, one), spread))
    return found


def measure(holed: Holed, original: Image.Image, result: Image.Image) -> dict[str, float]:
    a, b = np.asarray(original)[None], np.asarray(result)[None]
    return {"psnr_hole": models.psnr(a, b, holed.mask), **models.numbers(original, result)}


def _notes(holed: Holed, made: models.Made) -> list[str]:
    time = widgets.seconds(made.seconds)
    if not holed.whole:
        return [time]
    original = holed.picture.image
    a, b = np.asarray(original)[None], np.asarray(made.value)[None]
    value = models.once(holed.picture, ("hole", holed.digest, made), lambda: models.psnr(a, b, holed.mask))
    return [f"{value:.2f} dB in the hole", time]


def _results(holed: Holed, found: list[Filled]) -> None:
    st.subheader("Filled", anchor=False)
    cells = [widgets.Cell(each.title, each.made.value, each.title, each.notes) for each in found]
    looked = widgets.gallery(cells, "filled-gallery")
    st.subheader(f"A closer look: {widgets.verbatim(looked)}", anchor=False)
    each = next(each for each in found if each.title == looked)
    widgets.result(
        holed.picture,
        each.made,
        looked,
        "fill",
        partial(measure, holed) if holed.whole else None,
        holed.given(),
        holed.mask,
    )
    for each in found:
        if each.spread is not None:
            st.subheader("Where the samples differ", anchor=False)
            st.caption(
                f"Standard deviation of what {widgets.verbatim(each.title.removesuffix(', mean'))} drew: black is "
                f"certain, the brightest colour {SPREAD_TOP:g} or more, where white is 1."
            )
            st.image(widgets.heat(each.spread, SPREAD_TOP), width=480)
