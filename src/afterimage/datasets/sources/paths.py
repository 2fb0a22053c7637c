"""The rules of paths, the same wherever images come as files: in a folder, in an archive, as clips.

- Files whose extension is in `EXTENSIONS`, in either case, are images; others are not, and are counted nowhere.
- Hidden files and folders (a name with a leading dot) and `__MACOSX` are passed over.
- Folders named train, val (or validation) and test at the top are the official split. Where there is a train folder
  but no val or no test, the missing ones are dealt out of train, by group. Images beside these folders are dealt
  out like any other.
- With `pairs`, each image is the input or the target of one other, or, where `alone` allows it, neither. Both stay
  images of the manifest, in one group and one split; the column `target` of an input holds the key of its target, and
  is empty for all other images.
"""

import io
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import PurePosixPath
from typing import BinaryIO, Self

from pydantic import field_validator, model_validator

from afterimage.core import images, params
from afterimage.core.errors import ImageError, SourceError
from afterimage.datasets import sources
from afterimage.datasets.sources import Dataset, Item

COLUMNS = ("target",)
EXTENSIONS = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
OFFICIAL = {"train": "train", "val": "val", "validation": "val", "test": "test"}

LAST = 999_999
"""The highest number of a frame: it has six digits."""


class Pairs(params.Row):
    """Which image is the input of which: two patterns, searched in the path without its extension.

    What the brackets of `input` capture in one path and those of `target` in another is the same for partners:
    `(.*)_real` and `(.*)_mean`, or `(.*)/occluded_images/occluded_(.*)` and `(.*)/original_images/(.*)`.
    """

    input: str
    target: str
    alone: bool = False
    """Whether there may be images that neither pattern is found in: each is its own input."""

    @field_validator("input", "target")
    @classmethod
    def _captures(cls, value: str) -> str:
        if not brackets(value):
            raise ValueError("expected a pattern with brackets around what partners have in common")
        return value

    @model_validator(mode="after")
    def _alike(self) -> Self:
        if brackets(self.input) != brackets(self.target):
            raise ValueError("`input` and `target` need as many brackets as each other")
        return self


class Files(Dataset):
    """What the rows of sources of files have in common."""

    group: str = "parent"
    """`parent`: images of one folder belong together, those at the top or at the top of a split folder each stand
    alone; `image`: each stands alone; else a pattern with one group, searched in the path of the file."""
    only: str | None = None
    """A pattern; files whose path it is not found in are left out."""
    pairs: Pairs | None = None

    @property
    def alone(self) -> bool:
        return self.pairs is not None and self.pairs.alone

    @field_validator("group")
    @classmethod
    def _known(cls, group: str) -> str:
        if brackets(group) != 1 and group not in ("parent", "image"):
            raise ValueError("expected `parent`, `image` or a pattern with one group in brackets")
        return group

    @field_validator("only")
    @classmethod
    def _compiles(cls, only: str | None) -> str | None:
        brackets(only or "")
        return only


def brackets(pattern: str) -> int:
    """How many groups a pattern captures; ValueError if it is none."""
    try:
        return re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"not a pattern: {error}") from None


def visible(name: str) -> bool:
    """Whether no part of a path is hidden."""
    return not any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in name.split("/"))


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def stem(name: str) -> str:
    """A path without its extension; a folder's, which ends with `/`, has none."""
    return name if name.endswith("/") else name[: len(name) - len(PurePosixPath(name).suffix)]


def numbered(name: str, frame: int) -> str:
    """The name of a frame of a clip."""
    return f"{stem(name)}/{frame:06d}"


def chosen(names: Iterable[str], only: str | None) -> list[str]:
    """The names that `only` is found in, in the order of their keys."""
    return sorted(
        (name for name in names if only is None or re.search(only, name)), key=lambda name: sources.key(stem(name))
    )


def clips(names: Iterable[str], only: str | None) -> list[str]:
    """The same for files that hold many images, in the order of the keys of their frames.

    Raises:
        SourceError: the frames of two would be mixed.
    """
    ordered = sorted(chosen(names, only), key=lambda name: sources.key(numbered(name, 0)))
    for before, after in pairwise(ordered):
        if sources.key(numbered(before, LAST)) >= sources.key(numbered(after, 0)):
            raise SourceError(
                f"{printable(before)} and {printable(after)}: the keys of their frames would be mixed: rename one"
            )
    return ordered


def placed(names: Collection[str], row: Files, rule: str | None = None) -> Iterator[tuple[str, str, str | None]]:
    """Name, group and split of each of these names, in their order; no split: to be dealt out.

    Args:
        rule: used in place of the row's `group`.

    Raises:
        SourceError: the pattern of `group` does not match a name.
    """
    official = {_official(name) for name in names}
    missing = [split for split in ("val", "test") if split not in official]
    for name in names:
        group = _group(name, rule or row.group)
        split = _official(name)
        if split == "train":
            split = sources.draw(group, row.split, missing)
        yield name, printable(group), split


def items(
    names: Collection[str], row: Files, read: Callable[[str], BinaryIO], faults: Mapping[str, str]
) -> Iterator[Item]:
    """An item for each of these names, which are in the order of their keys.

    Args:
        read: opens the file of a name.
        faults: why some of the names are to be set aside; no pattern has to fit those.

    Raises:
        SourceError: the pattern of `group` does not match a name, or an image has no partner or several.
    """
    sound = [name for name in names if name not in faults]
    targets = _partners(sound, row.pairs) if row.pairs else {}
    inputs = {target: name for name, target in targets.items()}
    whole = [name for name in sound if name not in targets]
    where = {name: (group, split) for name, group, split in placed(whole, row)}
    for name in names:
        if name in faults:
            yield aside(stem(name), printable(name), faults[name], COLUMNS)
            continue
        target = targets.get(name)
        partner = target or inputs.get(name)
        group, split = where[target or name]
        yield Item(
            name=stem(name),
            origin=printable(name),
            group=group,
            split=split,
            open=partial(_open_pair, read, name, partner) if partner else partial(read, name),
            extra=(sources.key(stem(target)) if target else "",),
        )


def aside(name: str, origin: str, reason: str, columns: Sequence[str]) -> Item:
    """An item that is set aside as soon as it is opened."""

    def refuse() -> BinaryIO:
        raise ImageError(reason)

    return Item(name, origin, "", None, refuse, ("",) * len(columns))


def printable(name: str) -> str:
    """Names may hold bytes that are no UTF-8; tables may not."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _official(name: str) -> str | None:
    top, slash, _ = name.partition("/")
    return OFFICIAL.get(top) if slash else None


def _group(name: str, rule: str) -> str:
    if rule == "image":
        return stem(name)
    if rule == "parent":
        # without the split's folder: the same person in train and in test must be seen as one group
        inside = name.partition("/")[2] if _official(name) else name
        return inside.rpartition("/")[0] or stem(name)
    match = re.search(rule, name)
    if match is None or match[1] is None:
        raise SourceError(f"{printable(name)}: the pattern {rule!r} of `group` does not match this file")
    return match[1]


def _partners(names: Collection[str], pairs: Pairs) -> dict[str, str]:
    """The target of each input."""
    found: dict[str, dict[tuple[str, ...], str]] = {"input": {}, "target": {}}
    for name in names:
        matches = [(role, match) for role in found if (match := re.search(getattr(pairs, role), stem(name)))]
        if not matches and pairs.alone:
            continue
        if len(matches) != 1:
            raise SourceError(
                f"{printable(name)}: {'both patterns' if matches else 'neither pattern'} of `pairs` found in this "
                "path; `only` leaves out what is no part of a pair"
            )
        role, match = matches[0]
        common = tuple(part or "" for part in match.groups())
        if other := found[role].get(common):
            raise SourceError(
                f"{printable(other)} and {printable(name)}: each would be the {role} of one pair; `pairs` must tell "
                "them apart"
            )
        found[role][common] = name
    inputs, targets = found["input"], found["target"]
    if alone := sorted(inputs.keys() ^ targets.keys()):
        role = "input" if alone[0] in inputs else "target"
        raise SourceError(
            f"{printable(found[role][alone[0]])}: this {role} has no partner, like {len(alone) - 1} other images; add "
            "what is missing, or leave them out with `only`"
        )
    return {name: targets[common] for common, name in inputs.items()}


def _open_pair(read: Callable[[str], BinaryIO], name: str, partner: str) -> BinaryIO:
    """Open one image of a pair, if its partner can be read too: they are set aside together.

    Raises:
        SourceError: the two differ in size, so they do not show the same.
    """
    data = sources.read(partial(read, name))
    size = sources.upright(images.open_header(data))
    try:
        other = sources.upright(images.open_header(sources.read(partial(read, partner))))
    except ImageError as error:
        raise ImageError(f"its partner {printable(partner)}: {error}") from None
    if size != other:
        raise SourceError(
            f"{printable(name)} has {size[0]} x {size[1]} px and its partner {printable(partner)} {other[0]} x "
            f"{other[1]} px; expected one size"
        )
    return io.BytesIO(data)
