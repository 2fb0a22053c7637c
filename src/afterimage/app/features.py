"""The page Features: a picture as the layers of an encoder keep it, beside each other."""

from typing import Any

import streamlit as st

from afterimage.app import inputs, live, models, widgets
from afterimage.app.safety import Picture
from afterimage.errors import AfterimageError

FAMILY = "decoders"


def show() -> None:
    rows = models.trained(FAMILY)
    if not rows:
        widgets.missing(FAMILY, "decoder")
        return
    picture = inputs.picture(live=True)
    left, right = st.columns([1, 3])
    encoders = list(dict.fromkeys(row["encoder"] for row in rows.values()))
    encoder = left.segmented_control("Encoder", encoders, default=encoders[0], key="encoder", required=True)
    names = {name: label(row, rows) for name, row in rows.items() if row["encoder"] == encoder}
    first = [name for name, row in rows.items() if name in names and "," not in names[name] and len(row["layers"]) == 1]
    chosen = right.pills(
        "Layers",
        list(names),
        default=first,
        format_func=names.__getitem__,
        selection_mode="multi",
        key=f"rows-{encoder}",
    )
    if picture is None and not inputs.is_live():
        return
    if not chosen:
        st.info("Choose a layer to rebuild the picture from.", icon=":material/layers:")
        return
    if picture is None:
        row = next(name for name in names if name in chosen)
        shared = models.load(FAMILY, row)
        st.subheader(f"The camera through {names[row]}", anchor=False)
        live.show(lambda image: shared.run(lambda model: model(image)).value, f"live-{row}")
        return
    made = _rebuild(picture, {name: names[name] for name in names if name in chosen})
    if not made:
        return
    st.subheader("Layer by layer", anchor=False)
    cells = [
        widgets.Cell(name, result.value, names[name], _notes(picture, name, result)) for name, result in made.items()
    ]
    looked = widgets.gallery(cells, f"layers-{encoder}")
    st.subheader(f"A closer look: {names[looked]}", anchor=False)
    widgets.result(picture, made[looked], f"{encoder} {names[looked]}", "features")
    inputs.several("features-batch", looked, lambda image: models.load(FAMILY, looked).run(lambda m: m(image)).value)


def label(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> str:
    """A row's layers, and its architecture where an earlier row has the same layers."""
    layers = " + ".join(row["layers"])
    same = [other for other in rows.values() if (other["encoder"], other["layers"]) == (row["encoder"], row["layers"])]
    return layers if same[0] is row else f"{layers}, {row['arch']}"


def _rebuild(picture: Picture, names: dict[str, str]) -> dict[str, models.Made]:
    made: dict[str, models.Made] = {}
    bar = st.empty()
    for number, (name, text) in enumerate(names.items()):
        bar.progress(number / len(names), f"Rebuilding from {text}")
        try:
            made[name] = models.apply(FAMILY, name, picture, lambda model: model(picture.image))
        except AfterimageError as error:
            widgets.say(error)
    bar.empty()
    return made


def _notes(picture: Picture, name: str, result: models.Made) -> list[str]:
    found = models.once(picture, ("numbers", name, result), lambda: models.numbers(picture.image, result.value))
    return [widgets.summary(found), widgets.seconds(result.seconds)]
