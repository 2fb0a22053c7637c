"""The page Features: a picture rebuilt from the layers of an encoder, beside each other."""

import math
from collections.abc import Mapping

import streamlit as st

from afterimage import observations
from afterimage.app import inputs, live, models, searched, trained, widgets
from afterimage.app.safety import Picture
from afterimage.core.errors import AfterimageError

KIND = "features"
GIVEN = "given"


def show() -> None:
    rows = models.usable(KIND)
    if not rows:
        widgets.missing(KIND)
        return
    picture = inputs.picture(live=True)
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
    if picture is None and not inputs.is_live():
        return
    if not chosen:
        st.info("Choose a layer to rebuild the picture from.", icon=":material/layers:")
    elif picture is None:
        row = next(name for name in names if name in chosen)
        shared = models.load(row)
        st.header(f"The camera through {widgets.verbatim(names[row])}", anchor=False)
        live.show(lambda image: shared.run(lambda model: model(image)).value, f"live-{row}")
    else:
        _layers(picture, of, {name: names[name] for name in names if name in chosen}, rows)
    searches = {name: row for name, row in models.usable(KIND, searches=True).items() if row.searched}
    searches = {name: row for name, row in searches.items() if encoder(row) == of}
    if picture is not None and searches:
        searched.show(picture, labels(searches))


def _layers(picture: Picture, of: str, names: Mapping[str, str], rows: Mapping[str, models.Row]) -> None:
    """What each chosen layer of an encoder holds of a picture, beside the picture."""
    made = _rebuild(picture, names)
    if not made:
        return
    st.header("Layer by layer", anchor=False)
    image = picture.image
    trained.warn({names[name]: trained.unlike_features(rows[name], image) for name in made})
    cells = [widgets.Cell(GIVEN, image, GIVEN, [f"{image.width} x {image.height} px, all that the encoder sees"])]
    for name, result in made.items():
        cells.append(widgets.Cell(name, result.value, names[name], _notes(picture, rows[name], result)))
    looked = widgets.gallery(cells, f"layers-{of}", first=next(iter(made)))
    if looked == GIVEN:
        st.header("A closer look: given", anchor=False)
        widgets.alone(image, GIVEN)
        return
    st.header(f"A closer look: {widgets.verbatim(names[looked])}", anchor=False)
    trained.say(rows[looked])
    widgets.result(picture, made[looked], f"{of} {names[looked]}", KIND)
    inputs.several("features-batch", "Rebuild", looked, lambda image: models.load(looked).run(lambda m: m(image)).value)


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
        words = row.card.get("words", "")
        choices = [text, f"{text}, {words}"] if words else [text]
        free = (choice for choice in choices if choice not in found.values())
        found[name] = next(free, f"{text}, {name}")
    return found


def _rebuild(picture: Picture, names: Mapping[str, str]) -> dict[str, models.Made]:
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


def _notes(picture: Picture, row: models.Row, result: models.Made) -> list[str]:
    found = models.once(picture, ("numbers", row.name, result), lambda: models.numbers(picture.image, result.value))
    return [f"{widgets.summary(found)}, {widgets.seconds(result.seconds)}", share(row), trained.short(row)]


def share(row: models.Row) -> str:
    """How many numbers its layers hold for each of the picture's; empty where the card does not tell."""
    given, side = row.card.get("given", []), row.card.get("size")
    shapes = [part["shape"] for part in given if "shape" in part]
    if not side or not shapes or len(shapes) != len(given):
        return ""
    of = sum(math.prod(shape) for shape in shapes) / (3 * side**2)
    sizes = " + ".join(f"{shape[0]} maps at {_part(side, shape[1])} size" for shape in shapes)
    return f"{sizes}, {of:.2g} times the picture's numbers"


def _part(side: int, of: int) -> str:
    return "full" if side == of else f"1/{side / of:.2g}"
