"""The page Inpaint: a hole in a picture, filled by every method that there is."""

import hashlib
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import streamlit as st
from PIL import Image

from afterimage import apply
from afterimage.app import inputs, models, safety, trained, widgets
from afterimage.app.safety import Picture
from afterimage.core.errors import AfterimageError, ImageError
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Mask, Missing

KIND = "holes"
TITLES = {"telea": "Telea", "navier_stokes": "Navier-Stokes", "border_mean": "Mean of the border"}
MISSING: tuple[Missing, ...] = ("auto", "white", "black")
GREY = 128
GIVEN = "given"


class Method(NamedTuple):
    """What fills a hole."""

    name: str
    """Of a row, or of a classical method."""
    row: models.Row | None = None
    """None: a classical method."""

    @property
    def draws(self) -> bool:
        return self.row is not None and self.row.draws


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


class Shown(NamedTuple):
    """A hole as one method fills it: one picture of the gallery."""

    title: str
    method: str
    """The title of the method that made it, and others as well where it draws samples."""
    made: models.Made
    notes: list[str]
    spread: npt.NDArray[np.float32] | None = None
    """`[H, W]`: how much the samples differ, where several were drawn."""


def show() -> None:
    picture = inputs.picture()
    if picture is None:
        return
    st.header("What is missing", anchor=False)
    holed = _holed(picture)
    if not models.usable(KIND):
        widgets.missing(KIND)
    methods = _methods()
    begin = [*models.first(models.usable(KIND)), "telea"]
    first = [title for title, method in methods.items() if method.name in begin]
    titles = st.pills("Methods", list(methods), default=first, selection_mode="multi", key="methods")
    chosen = {title: method for title, method in methods.items() if title in titles}
    widgets.terms(models.usable(KIND), [method.name for method in chosen.values() if method.row])
    draws = _draws() if any(method.draws for method in chosen.values()) else {}
    if holed is None:
        st.info("Draw a box or a stroke over what is missing.", icon=":material/draw:")
        return
    if draws:  # samples take their time, so they wait to be asked for
        wanted = (holed.picture.digest, holed.digest, *titles, *draws.values())
        if st.button("Fill the hole", type="primary", key="fill"):
            st.session_state["filled"] = wanted
        if st.session_state.get("filled") != wanted:
            return
    found = _fill(holed, chosen, draws)
    if found:
        title = _results(holed, found, chosen)
        inputs.several("fill-batch", "Fill", title, partial(_same_hole, holed, chosen[title], draws))


def _methods() -> dict[str, Method]:
    """Every method by its title: the trained rows first."""
    taken = TITLES.values()
    rows = {f"{name} (row)" if name in taken else name: Method(name, row) for name, row in models.usable(KIND).items()}
    return rows | {title: Method(name) for name, title in TITLES.items()}


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
            drawn = safety.mask_from_shapes(shapes, size)
            mask = drawn if drawn.any() else None  # all of it may be erased again
        else:
            left, right = st.columns([3, 1])
            file = left.file_uploader(
                f"A black and white picture of {size[0]} x {size[1]} px and at most {safety.MAX_MEGABYTES} MB",
                type=["png", "jpg", "jpeg", "webp"],
                max_upload_size=safety.MAX_MEGABYTES,
                key="mask-file",
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


def _draws() -> dict[str, Any]:
    """How rows that draw samples are to draw them."""
    first, second, third = st.columns(3)
    return {
        "samples": first.slider("Samples", 1, 8, 4, key="samples", help="How many fills are drawn; their mean is one."),
        "temperature": second.slider(
            "Temperature", 0.1, 1.5, 1.0, 0.05, key="temperature", help="Below 1: likelier fills. Above 1: rarer ones."
        ),
        "seed": int(third.number_input("Seed", 0, 10_000, 0, key="seed")),
    }


def _fill(holed: Holed, chosen: dict[str, Method], draws: dict[str, Any]) -> list[Shown]:
    """What each method makes of the hole, the missing pixels blanked before any method sees them."""
    given = holed.given()
    found: list[Shown] = []
    bar = st.empty()
    for number, (title, method) in enumerate(chosen.items()):
        bar.progress(number / len(chosen), f"Filling by {widgets.verbatim(title)}")
        try:
            if method.row is None:
                make = partial(_classical, method.name, given, holed.mask)
                made = models.once(holed.picture, (method.name, holed.digest), make)
                found.append(Shown(title, title, made, _notes(holed, made)))
            else:
                found += _by_row(holed, title, method, given, draws)
        except AfterimageError as error:
            widgets.say(error)
    bar.empty()
    return found


def _classical(method: str, given: Image.Image, mask: Mask) -> models.Made:
    from afterimage.evaluation.baselines import holes as baselines

    pixels = np.asarray(given)
    return models.Shared(method).run(lambda name: Image.fromarray(baselines.fill(name, pixels, mask)))


def _by_row(holed: Holed, title: str, method: Method, given: Image.Image, draws: dict[str, Any]) -> list[Shown]:
    """What a row answers; where it draws samples their mean, how much they differ, and the samples themselves."""
    key = draws.values() if method.draws else ()
    fill = partial(_filled, method, given, holed.mask, draws)
    made = models.apply(method.name, holed.picture, fill, holed.digest, *key)
    images = {title: made.value.image}
    if made.value.samples:
        images = {f"{title}, mean": made.value.image}
        images |= {f"{title}, sample {number}": image for number, image in enumerate(made.value.samples, start=1)}
    found = []
    for name, image in images.items():
        one = models.once(holed.picture, (name, made), partial(models.Made, image, made.seconds))
        spread = made.value.spread if image is made.value.image else None
        notes = [*_notes(holed, one), trained.short(method.row)] if method.row else _notes(holed, one)
        found.append(Shown(name, title, one, notes, spread))
    return found


def _filled(method: Method, given: Image.Image, mask: Mask, draws: dict[str, Any], fill: Any) -> Any:
    from afterimage.observations.holes import Draws

    return fill(given, mask, Draws(**draws) if method.draws else None)


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


def _same_hole(holed: Holed, method: Method, draws: dict[str, Any], image: Image.Image) -> Image.Image:
    """Another picture with the hole of this one, filled."""
    size = holed.picture.image.size
    if image.size != size:
        raise ImageError(f"{image.width} x {image.height} px; the hole is in a picture of {size[0]} x {size[1]} px.")
    given = holed._replace(picture=holed.picture._replace(image=image)).given()
    if method.row is None:
        filled: Image.Image = _classical(method.name, given, holed.mask).value
        return filled
    return models.load(method.name).run(partial(_filled, method, given, holed.mask, draws)).value.image


def _results(holed: Holed, found: list[Shown], chosen: dict[str, Method]) -> str:
    """The hole and how each method fills it; returns the method that the visitor looks at."""
    st.header("Filled", anchor=False)
    rows = {title: method.row for title, method in chosen.items() if method.row is not None}
    trained.warn({title: trained.unlike_holes(row, holed.mask) for title, row in rows.items()})
    given = holed.given()
    cells = [widgets.Cell(GIVEN, given, GIVEN, [f"{holed.mask.mean():.1%} missing"])]
    cells += [widgets.Cell(each.title, each.made.value, each.title, each.notes) for each in found]
    looked = widgets.gallery(cells, "filled-gallery", first=found[0].title)
    st.header(f"A closer look: {widgets.verbatim(looked)}", anchor=False)
    each = next((each for each in found if each.title == looked), None)
    if each is None:
        widgets.alone(given, GIVEN)
        return found[0].method
    if each.method in rows:
        trained.say(rows[each.method])
    measured = partial(measure, holed) if holed.whole else None
    widgets.result(holed.picture, each.made, looked, "fill", measured, given, holed.mask)
    for one in found:
        if one.spread is not None:
            st.header("Where the samples differ", anchor=False)
            st.caption(
                f"Standard deviation of the samples of {widgets.verbatim(one.method)}: black "
                f"is 0, the brightest colour {apply.SPREAD_SCALE:g} or more, with pixels from 0 to 1."
            )
            st.image(apply.spread_map(one.spread), alt="Where the samples differ", width=480)
    return each.method
