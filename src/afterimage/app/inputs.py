"""Where the visitor's picture comes from: the photographs that ship with the packages, a file, the camera."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from PIL import Image

from afterimage.app import kept, safety, widgets
from afterimage.app import live as frames
from afterimage.app.safety import Picture
from afterimage.core.errors import ImageError
from afterimage.datasets import sources

LIVE = "Live"
SOURCES = {
    "Samples": ":material/photo_library:",
    "Upload": ":material/upload:",
    "Camera": ":material/photo_camera:",
    LIVE: ":material/videocam:",
}
MAX_ZIP_MEGABYTES = 300
"""Of the results of a batch together."""
FREE = ("public domain", "CC0", "CC0 1.0")


class Sample(NamedTuple):
    """A photograph that ships with a package."""

    picture: Picture
    split: str
    credit: str


@st.cache_resource(show_spinner=False)
def samples() -> list[Sample]:
    """The bundled photographs that are free of conditions, those that the default rows never saw first."""
    from afterimage.core.images import decode
    from afterimage.datasets.sources import bundled

    table = Path(sources.__file__).parent / "bundled.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        splits = {line["name"]: line["split"] for line in csv.DictReader(stream)}
    row = bundled.Row.model_construct(path=str(table))
    found = []
    for item in bundled.items(row):
        licence, attribution, _ = item.extra
        if licence in FREE:
            with item.open() as file:
                picture = safety.of(item.name, decode(file.read()))
            found.append(Sample(picture, splits[item.name], f"{attribution}; {licence}"))
    return sorted(found, key=lambda sample: ("test", "val", "train").index(sample.split))


def picture(live: bool = False) -> Picture | None:
    """Let the visitor choose a picture; None until there is one, and while frames come live.

    Args:
        live: whether the page can take live frames; it asks `is_live` whether the visitor wants that.
    """
    source = st.segmented_control(
        "Picture",
        [name for name in SOURCES if name != LIVE or (live and frames.available())],
        default="Samples",
        format_func=lambda name: f"{SOURCES[name]} {name}",
        key="source",
        label_visibility="collapsed",
        required=True,
    )
    if source == "Samples":
        return _sample()
    if source == "Upload":
        file = st.file_uploader(
            f"A picture of at most {safety.ALLOWED}",
            type=list(safety.EXTENSIONS),
            max_upload_size=safety.MAX_MEGABYTES,
            key="upload",
        )
    elif source == LIVE:
        return None
    else:
        file = st.camera_input("A snapshot", key="camera", width=640)
        if live and not frames.available():
            st.caption("Live frames need the extra `live`: `pip install 'afterimage[live]'`.")
    return read(file)


def is_live() -> bool:
    return st.session_state.get("source") == LIVE


def _sample() -> Picture:
    every = {sample.picture.name: sample for sample in samples()}
    cells = [widgets.Cell(name, sample.picture.image, name.replace("_", " ")) for name, sample in every.items()]
    chosen = every[widgets.gallery(cells, "sample", small=True)]
    seen = {
        "test": "No default row was trained or chosen on it.",
        "val": "The default rows were chosen on it: its numbers flatter.",
        "train": "The default rows were trained on it: its numbers flatter.",
    }
    st.caption(f"{chosen.credit}. {seen[chosen.split]}")
    return chosen.picture


def read(file: Any) -> Picture | None:
    """The picture in an uploaded file, or None and an error box; read once for this visitor."""
    if file is None:
        return None
    try:
        found = kept.once("read", file.file_id, "", lambda: safety.picture(file.name, file.getvalue()))
    except ImageError as error:
        widgets.say(error)
        return None
    if found.note:
        st.caption(widgets.verbatim(found.note))
    return found


def several(key: str, verb: str, what: str, use: Callable[[Image.Image], Image.Image]) -> None:
    """Many pictures in, a zip of results out; what cannot be read or used is named, and the others go on.

    Args:
        verb: what is done to them.
        what: the row or the method by which it is done.
        use: from a picture to its result.
    """
    with st.expander("Several pictures at once", icon=":material/burst_mode:"):
        files = st.file_uploader(
            f"At most {safety.MAX_FILES} pictures, {safety.MAX_BATCH_MEGABYTES} MB in all, each of at most "
            f"{safety.ALLOWED}; the results come as a zip",
            type=list(safety.EXTENSIONS),
            max_upload_size=safety.MAX_MEGABYTES,
            accept_multiple_files=True,
            key=f"{key}-files",
        )
        if not files:
            return
        try:
            safety.batch([(file.name, file.size) for file in files])
        except ImageError as error:
            widgets.say(error)
            return
        wanted = (what, tuple(file.file_id for file in files))
        count = f"{len(files)} picture{'s' * (len(files) > 1)}"
        if st.button(f"{verb} {count} by {widgets.verbatim(what)}", key=f"{key}-go", type="primary"):
            kept.put(f"{key}-zip", wanted, "", _zip(files, what, use))
        done = kept.find(f"{key}-zip", wanted, "")
        if done is None:
            return
        data, faults = done
        for fault in faults:
            widgets.say(fault)
        if data:
            saved = kept.later(f"{key}-zip", wanted, "", lambda done: done[0])
            widgets.download("All results (zip)", saved, f"afterimage-{widgets.file_part(what)}.zip", f"{key}-download")


def _zip(files: list[Any], what: str, use: Callable[[Image.Image], Image.Image]) -> tuple[bytes, list[str]]:
    import io
    import zipfile

    from afterimage.core.errors import AfterimageError
    from afterimage.core.images import encode_png

    stream, faults, names = io.BytesIO(), [], set()
    bar = st.progress(0.0)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, file in enumerate(files):
            said = widgets.verbatim(safety.plain(file.name))
            bar.progress(number / len(files), f"{said}, {number + 1} of {len(files)}")
            shown = safety.plain(file.name)
            try:
                given = safety.picture(file.name, file.getvalue())
            except AfterimageError as error:  # which names the file
                faults.append(str(error))
                continue
            try:
                data = encode_png(use(given.image))
                if stream.tell() + len(data) > MAX_ZIP_MEGABYTES * 1_000_000:
                    raise ImageError(f"left out, since the zip has room for {MAX_ZIP_MEGABYTES} MB.")
            except AfterimageError as error:
                faults.append(f"{shown}: {error}")
                continue
            name, again = given.name, 2
            while name in names:
                name, again = f"{given.name}-{again}", again + 1
            names.add(name)
            archive.writestr(f"{name}-{widgets.file_part(what)}.png", data)
    bar.empty()
    return (stream.getvalue() if names else b""), faults
