"""The page Features: a picture rebuilt from the layers of an encoder, beside each other."""

from collections.abc import Mapping

import streamlit as st

from afterimage import observations
from afterimage.app import inputs, live, models, widgets
from afterimage.app.safety import Picture
from afterimage.core.errors import AfterimageError

KIND = "features"
MAX_SEARCHED = 65_536
"""Pixels of a picture up to which an image is searched for: one of 256 px a side takes a minute or more."""


def show() -> None:
    trained = models.usable(KIND)
    if not trained:
        widgets.missing(KIND)
        return
    picture = inputs.picture(live=True)
    small = picture is not None and picture.image.width * picture.image.height <= MAX_SEARCHED
    rows = models.usable(KIND, searches=small)
    left, right = st.columns([1, 3])
    encoders = list(dict.fromkeys(encoder(row) for row in rows.values()))
    of = left.segmented_control("Encoder", encoders, default=encoders[0], key="encoder", required=True)
    names = labels({name: row for name, row in rows.items() if encoder(row) == of})
    first = [name for name, label in names.items() if label == layers(rows[name])[0]]
    chosen = right.pills(
        "Layers",
        list(names),
        default=first or list(names)[:1],
        format_func=names.__getitem__,
        selection_mode="multi",
        key=f"rows-{of}",
    )
    widgets.terms(rows, chosen)
    if picture is not None and not small and models.usable(KIND, searches=True).keys() != trained.keys():
        right.caption(f"Rows of `searches` take pictures of up to {MAX_SEARCHED:,} pixels, such as 256 x 256.")
    if picture is None and not inputs.is_live():
        return
    if not chosen:
        st.info("Choose a layer to rebuild the picture from.", icon=":material/layers:")
        return
    if picture is None:
        row = next(name for name in names if name in chosen)
        shared = models.load(row)
        st.subheader(f"The camera through {widgets.verbatim(names[row])}", anchor=False)
        live.show(lambda image: shared.run(lambda model: model(image)).value, f"live-{row}")
        return
    made = _rebuild(picture, {name: names[name] for name in names if name in chosen})
    if not made:
        return
    st.subheader("Layer by layer", anchor=False)
    cells = [
        widgets.Cell(name, result.value, names[name], _notes(picture, name, result)) for name, result in made.items()
    ]
    looked = widgets.gallery(cells, f"layers-{of}")
    st.subheader(f"A closer look: {widgets.verbatim(names[looked])}", anchor=False)
    widgets.result(picture, made[looked], f"{of} {names[looked]}", KIND)
    if looked in trained:
        inputs.several("features-batch", looked, lambda image: models.load(looked).run(lambda m: m(image)).value)


def encoder(row: models.Row) -> str:
    """The row of `encoders` whose features a row is given; the observations of it have its name."""
    return observations.row_of(row.observation)


def layers(row: models.Row) -> list[str]:
    """The layers whose features a row is given."""
    given = [part["layer"] for part in row.card.get("given", []) if part.get("layer")]
    return given or [row.observation.partition(observations.PART)[2] or row.name]


def labels(rows: Mapping[str, models.Row]) -> dict[str, str]:
    """What the page calls each row of an encoder: its layers, and what tells it from an earlier row of the same."""
    found: dict[str, str] = {}
    for name, row in rows.items():
        text = " + ".join(layers(row))
        words = "search" if row.searched else row.card.get("words", "")
        choices = [text, f"{text}, {words}"] if words else [text]
        free = (choice for choice in (choices[1:] if row.searched else choices) if choice not in found.values())
        found[name] = next(free, f"{text}, {name}")
    return found


def _rebuild(picture: Picture, names: dict[str, str]) -> dict[str, models.Made]:
    made: dict[str, models.Made] = {}
    bar = st.empty()
    for number, (name, text) in enumerate(names.items()):
        bar.progress(number / len(names), f"Rebuilding from {widgets.verbatim(text)}")
        try:
            made[name] = models.apply(name, picture, lambda model: model(picture.image))
        except AfterimageError as error:
            widgets.say(error)
    bar.empty()
    return made


def _notes(picture: Picture, name: str, result: models.Made) -> list[str]:
    found = models.once(picture, ("numbers", name, result), lambda: models.numbers(picture.image, result.value))
    return [widgets.summary(found), widgets.seconds(result.seconds)]
