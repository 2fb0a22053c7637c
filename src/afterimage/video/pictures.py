"""Restoring an image, or a folder of images by the rules of `sources.paths`. Pixels are read by those of `images`."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from afterimage.apply import files
from afterimage.core import engine, images, outputs
from afterimage.core.errors import ImageError, VideoError
from afterimage.datasets import sources
from afterimage.datasets.sources import folder as folders
from afterimage.datasets.sources import paths
from afterimage.video import Outcome, Restore, Settings, regions, work


def single(path: Path, out: Path, restorer: Restore, settings: Settings) -> Outcome:
    """Restore an image file; the extension of `out` says in which format it is written.

    Raises:
        VideoError: it cannot be read, or there is no such format.
    """
    try:
        files.form_of(out)
    except ImageError as error:
        raise VideoError(str(error)) from None
    try:
        image = images.decode(path.read_bytes())
        result, found = _restored(image, restorer, settings)
    except (ImageError, VideoError) as error:
        raise VideoError(f"{path}: {error}") from None
    files.save(Image.fromarray(result), out)
    return Outcome(1, _words(0 if found else 1, 1, settings), [])


def folder(
    path: Path,
    out: Path,
    restorer: Restore,
    about: dict[str, Any],
    settings: Settings,
    overwrite: bool = False,
    ending: str = "",
) -> Outcome:
    """Restore all images of a folder, however deep, as PNGs of the same names; what cannot be read is passed over.

    Args:
        overwrite: whether such PNGs may be in `out` already.
        ending: of the names, before the extension.

    Raises:
        VideoError: there are none, two would get one name, one is there already, or a face is missing where the
            settings ask for one.
    """
    names = paths.chosen(folders.walk(path, paths.EXTENSIONS), None)
    if not names:
        raise VideoError(f"{path}: no images in this folder (looked for {', '.join(paths.EXTENSIONS)})")
    targets = _targets(names, ending)
    if not overwrite and (there := [target for target in targets.values() if (out / target).exists()]):
        more = f", and {len(there) - 1} more" if len(there) > 1 else ""
        raise VideoError(f"{out / there[0]}{more}: this output is there already; --overwrite replaces it")
    job = {"input": _listed(path, names), "restorer": about, "settings": settings._asdict(), "ending": ending}
    faults: list[str] = []
    done = faceless = new = 0
    with work.folder(out, job) as unfinished:
        made = unfinished / "images"
        made.mkdir(exist_ok=True)
        for name in engine.progress(names, f"restore {path.name}", len(names), "image"):
            if (made / targets[name]).exists():
                done += 1
                continue
            try:
                image = images.decode(sources.read(partial(folders.read, path.resolve(), name)))
            except ImageError as error:
                faults.append(f"{paths.printable(name)}: {error}")
                continue
            try:
                result, found = _restored(image, restorer, settings)
            except VideoError as error:
                raise VideoError(f"{path / name}: {error}") from None
            with outputs.file(made / targets[name]) as unnamed:
                unnamed.write_bytes(images.encode_png(result))
            new, faceless = new + 1, faceless + (not found)
        if not done + new:
            raise VideoError(f"{path}: none of its {len(names)} images can be read; the first: {faults[0]}")
        _publish(made, out)
    return Outcome(done + new, _words(faceless, new, settings), faults)


def _restored(image: Image.Image, restorer: Restore, settings: Settings) -> tuple[images.Uint8, bool]:
    frames = np.asarray(image)[None]
    result, found, _ = regions.apply(restorer, frames, settings)
    return (np.concatenate([frames, result], axis=2) if settings.side_by_side else result)[0], found


def _targets(names: Sequence[str], ending: str) -> dict[str, str]:
    """What each is called when it is restored."""
    targets = {name: f"{paths.stem(name)}{ending}.png" for name in names}
    taken: dict[str, str] = {}
    for name, target in targets.items():
        if taken.setdefault(target, name) != name:
            raise VideoError(f"{paths.printable(taken[target])} and {paths.printable(name)}: both would be {target}")
    return targets


def _listed(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """What tells a folder from one whose images have changed, without reading them."""

    def lines() -> Iterator[str]:
        for name in names:
            found = (path / name).lstat()
            yield f"{name} {found.st_size} {found.st_mtime_ns}\n"

    digest = hashlib.sha256("".join(lines()).encode("utf-8", "surrogateescape"))
    return {**work.described(path), "images": digest.hexdigest()}


def _publish(made: Path, out: Path) -> None:
    """Move what is finished to where it was asked for; other files of a folder that is there stay."""
    if not out.exists():
        made.replace(out)
        return
    for file in sorted(made.rglob("*")):
        if file.is_file():
            target = out / file.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)


def _words(faceless: int, units: int, settings: Settings) -> str:
    if not faceless:
        return ""
    fate = {"whole": "restored whole", "keep": "kept as it is", "stop": ""}[settings.no_face]
    return f"no face found in {faceless} of {units}: {fate}"
