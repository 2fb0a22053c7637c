"""The page Restore: a bad photograph or clip, or a good one made bad, restored by each method."""

import json
from collections.abc import Sequence
from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from afterimage.app import clips, inputs, kept, live, models, safety, trained, widgets
from afterimage.app.safety import Picture
from afterimage.core.errors import AfterimageError
from afterimage.core.images import Uint8
from afterimage.observations.frames import CARE

if TYPE_CHECKING:
    from afterimage.apply.frames import Applied

KIND = "frames"
TITLES = {
    "exposure_nlm": "Exposure + non-local means",
    "gamma_nlm": "Gamma + non-local means",
    "unsharp": "Unsharp mask",
}
GIVEN = "given"
CLIP = "clip"
Records = list[dict[str, Any]]


class Amounts(NamedTuple):
    """How much of what a row would do is done."""

    brightness: float = 1.0
    strength: float = 1.0
    enlarge: bool = False


class Method(NamedTuple):
    """What restores a picture: a trained row, or filters."""

    name: str
    trained: bool


def show() -> None:
    if not models.usable(KIND):
        widgets.missing(KIND)
    st.caption(CARE)
    kind = st.segmented_control(
        "What", ["Photograph", "Clip"], default="Photograph", key="kind", label_visibility="collapsed", required=True
    )
    if kind == "Clip":
        _clip()
    else:
        _photograph()


def _photograph() -> None:
    picture = inputs.picture(live=True)
    if inputs.is_live():
        _live()
    if picture is None:
        return
    source = st.session_state["source"]
    spoil = st.toggle(
        "It is a good picture: degrade it first, and measure what comes back",
        value=source == "Samples",
        key=f"spoil-{source}",
    )
    records = _spoiling() if spoil else []
    key = json.dumps(records)
    given = models.once(picture, (GIVEN, key), lambda: models.Made(spoiled(picture.image, records), 0.0))
    taken = TITLES.values()
    methods = {f"{row} (row)" if row in taken else row: Method(row, True) for row in models.usable(KIND)}
    methods |= {title: Method(method, False) for method, title in TITLES.items()}
    begin = [*models.first(models.usable(KIND)), "exposure_nlm"]
    first = [title for title, method in methods.items() if method.name in begin]
    titles = st.pills("Methods", list(methods), default=first, selection_mode="multi", key="restore-methods")
    chosen = {title: method for title, method in methods.items() if title in titles}
    trained = [method.name for method in chosen.values() if method.trained]
    widgets.terms(models.usable(KIND), trained)
    amounts = _amounts(not spoil and _can_enlarge(picture.image, trained)) if trained else Amounts()
    found: dict[str, models.Made] = {}
    bar = st.empty()
    for number, (title, method) in enumerate(chosen.items()):
        bar.progress(number / len(chosen), f"Restoring by {widgets.verbatim(title)}")
        try:
            if method.trained:
                again = f"{key} {amounts}"
                found[title] = models.apply(method.name, picture, partial(_adjusted, given.value, amounts), again)
            else:
                found[title] = models.once(picture, (*method, key), partial(_restored, method, given.value))
        except AfterimageError as error:
            widgets.say(error)
    bar.empty()
    looked = _results(picture, given, found, chosen, measured=bool(records))
    if looked is not None:
        method = chosen[looked]
        inputs.several("restore-batch", "Restore", looked, lambda image: _restored(method, image, amounts).value)


def _live() -> None:
    rows = list(models.usable(KIND))
    if rows:
        row = st.segmented_control("Row", rows, default=rows[0], key="live-row", required=True)
        widgets.terms(models.usable(KIND), [row])
        shared = models.load(row)
        live.show(lambda image: shared.run(lambda model: model(image)).value, f"live-{row}")


def _can_enlarge(image: Image.Image, rows: Sequence[str]) -> bool:
    """Whether one of the rows makes images larger, and this one not larger than an upload may be."""
    usable = models.usable(KIND)
    factors = [int(usable[row].card.get("settings", {}).get("factor", 1)) for row in rows]
    return any(factor > 1 and _fits(image, factor) for factor in factors)


def _fits(image: Image.Image, factor: int) -> bool:
    return image.width * image.height * factor**2 <= safety.MAX_PIXELS


def _amounts(can_enlarge: bool) -> Amounts:
    left, right = st.columns(2)
    brightness = left.slider(
        "Brightness",
        0.0,
        2.0,
        1.0,
        0.05,
        key="brightness",
        help="0 keeps the picture's; 1 is as the row finds it right.",
    )
    strength = right.slider("Strength", 0.0, 1.0, 1.0, 0.05, key="strength", help="How much of the damage is mended.")
    enlarge = can_enlarge and st.toggle("Enlarge, by rows of super-resolution", key="enlarge")
    return Amounts(brightness, strength, enlarge)


def _adjusted(image: Image.Image, amounts: Amounts, applied: "Applied") -> Image.Image:
    """A picture by a row; rows that leave the light alone have no brightness to set, and most do not enlarge."""
    adjusted = applied.adjusted(amounts.brightness if applied.sets_light else 1.0, amounts.strength)
    larger = amounts.enlarge and applied.factor > 1 and _fits(image, applied.factor)
    return (adjusted.enlarging() if larger else adjusted)(image)


def _restored(method: Method, image: Image.Image, amounts: Amounts = Amounts()) -> models.Made:  # noqa: B008
    if method.trained:
        return models.load(method.name).run(partial(_adjusted, image, amounts))
    from afterimage.evaluation.baselines import frames as baselines

    size = (image.height, image.width)
    return models.Shared(method.name).run(
        lambda name: Image.fromarray(baselines.restore(name, np.asarray(image), size))
    )


def _spoiling() -> Records:
    """What the sliders do to a picture, in the order in which it happens in a camera; at first about what the level
    `medium` does, which rows are trained on."""
    columns = [*st.columns(3), *st.columns(3)]
    light = columns[0].slider("Light", 0.05, 1.0, 0.7, 0.05, key="light", help="The share of the light that is left.")
    focus = columns[1].slider("Out of focus, px", 0.0, 6.0, 1.0, 0.1, key="focus")
    motion = columns[2].slider("Motion, px", 0.0, 24.0, 0.0, 0.5, key="motion")
    fewer = columns[3].slider("Fewer pixels, times", 1.0, 6.0, 2.5, 0.1, key="fewer", help="By each side.")
    noise = columns[4].slider("Noise", 0.0, 0.15, 0.02, 0.005, key="noise", help="Standard deviation; white is 1.")
    quality = columns[5].slider("JPEG quality", 5, 100, 60, key="quality")
    records: Records = []
    if light < 1:
        records.append({"step": "low_light", "gamma": 2 - light, "exposure": light})
    if focus:
        records.append({"step": "defocus", "radius": focus})
    if motion:
        records.append({"step": "motion", "length": motion, "angle": 0.4, "bend": 0.3})
    if fewer > 1:
        records.append({"step": "downscale", "factor": fewer, "filter": "area"})
    if noise:
        records.append({"step": "noise", "shot": noise**2, "read": noise, "seed": 0})
    if quality < 100:
        records.append({"step": "jpeg", "quality": quality})
    return records


def spoiled(image: Image.Image, records: Records) -> Image.Image:
    """A picture as a bad camera leaves it, at its own size."""
    if not records:
        return image
    from afterimage.observations.frames import cctv

    with models.TURN:
        frame = cctv.replay(np.asarray(image), records)
        if frame.shape[:2] != (image.height, image.width):
            frame = cctv.resized(frame, (image.height, image.width), "bicubic")
        return Image.fromarray(frame)


def _results(
    picture: Picture, given: models.Made, found: dict[str, models.Made], chosen: dict[str, Method], measured: bool
) -> str | None:
    """What was given and what each method made of it; returns the method that the visitor looks at."""
    st.header("Restored" if found else "Given", anchor=False)
    rows = {title: models.usable(KIND)[chosen[title].name] for title in found if chosen[title].trained}
    trained.warn({title: trained.unlike_frames(row, given.value) for title, row in rows.items()})
    cells = [widgets.Cell(GIVEN, given.value, GIVEN, _notes(picture, given, measured))]
    for title, made in found.items():
        more = [trained.short(rows[title])] if title in rows else []
        cells.append(widgets.Cell(title, made.value, title, [*_notes(picture, made, measured), *more]))
    looked = widgets.gallery(cells, "restored", first=next(iter(found), GIVEN))
    st.header(f"A closer look: {widgets.verbatim(looked)}", anchor=False)
    if looked == GIVEN:
        if measured:
            widgets.compare(picture.image, given.value, ("original", GIVEN), "restore-given")
        else:
            widgets.alone(given.value, GIVEN)
        return next(iter(found), None)
    if looked in rows:
        trained.say(rows[looked])
    beside = given.value
    if beside.size != found[looked].value.size:
        beside = beside.resize(found[looked].value.size, Image.Resampling.BICUBIC)
    widgets.result(picture, found[looked], looked, "restore", models.numbers if measured else None, beside)
    return looked


def _notes(picture: Picture, made: models.Made, measured: bool) -> list[str]:
    notes = [widgets.seconds(made.seconds)] if made.seconds else []
    if not measured:
        return notes
    return [widgets.summary(models.once(picture, (made,), lambda: models.numbers(picture.image, made.value))), *notes]


# Clips


def _clip() -> None:
    file = st.file_uploader(
        f"A clip of at most {clips.ALLOWED}",
        type=list(clips.EXTENSIONS),
        max_upload_size=safety.MAX_MEGABYTES,
        key="clip",
    )
    if file is None:
        return
    clip = kept.once(CLIP, file.file_id, "read", lambda: clips.read(file.name, file.getvalue()))
    given = kept.once(CLIP, file.file_id, GIVEN, lambda: clips.encode(clip, clip.frames))
    if clip.note:
        st.caption(widgets.verbatim(clip.note))
    rows = list(models.usable(KIND))
    if not rows:
        return
    row = st.segmented_control("Row", rows, default=rows[0], key="clip-row", required=True)
    widgets.terms(models.usable(KIND), [row])
    made: tuple[models.Made, bytes] | None = kept.find(CLIP, file.file_id, ("made", row))
    if made is None:
        if not st.button(f"Restore {len(clip.frames)} frames", type="primary", key="clip-go"):
            return
        made = _restored_clip(clip, row)
        kept.put(CLIP, file.file_id, ("made", row), made)
    result, video = made
    left, right = st.columns(2)
    left.caption("Given")
    left.video(given)
    right.caption(f"Restored by {widgets.verbatim(row)}, {widgets.seconds(result.seconds)}")
    right.video(video)
    number = st.slider("Frame", 1, len(clip.frames), 1, key="frame") if len(clip.frames) > 1 else 1
    pair = [Image.fromarray(frames[number - 1]) for frames in (clip.frames, result.value)]
    widgets.compare(pair[0], pair[1], ("given", row), "clip-compare")
    saved = kept.later(CLIP, file.file_id, ("made", row), lambda made: made[1])
    widgets.download("Restored clip (MP4)", saved, f"{clip.name}-{widgets.file_part(row)}.mp4", "clip-mp4")


def _restored_clip(clip: clips.Clip, row: str) -> tuple[models.Made, bytes]:
    """The restored frames, a few at a time for the sake of progress, and their MP4."""
    shared, parts, spent = models.load(row), [], 0.0
    bar = st.progress(0.0, "Restoring")
    step = 8
    for start in range(0, len(clip.frames), step):
        part = clip.frames[start : start + step]
        made = shared.run(methodcaller("frames", part))
        parts.append(made.value)
        spent += made.seconds
        bar.progress(min(1.0, (start + step) / len(clip.frames)), "Restoring")
    bar.empty()
    frames: Uint8 = np.concatenate(parts)
    return models.Made(frames, spent), clips.encode(clip, frames)
