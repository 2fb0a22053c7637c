"""Copies of an image are found however they are encoded, resized or mirrored, and other images are not."""

import csv
import importlib.util
import tarfile
from pathlib import Path

import gates
import numpy as np
import pandas as pd
import pictures
import pytest
from campaigns.tiny import ROOT
from PIL import Image, ImageOps

from afterimage.validation import likeness


def photographs() -> dict[str, Image.Image]:
    """The bundled photographs, but one of each group."""
    found = {}
    with (ROOT / "src/afterimage/datasets/sources/bundled.csv").open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            spec = importlib.util.find_spec(line["package"])
            assert spec is not None and spec.origin is not None
            found.setdefault(line["group"], Image.open(Path(spec.origin).parent / line["path"]).convert("RGB"))
    return found


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return pictures.encoded(image, "JPEG", quality=quality)


COPIES = {
    "encoded again": lambda image: jpeg(image, quality=30),
    "resized": lambda image: jpeg(image.resize((image.width // 3, image.height // 3))),
    "darkened": lambda image: jpeg(image.point([value // 2 for value in range(256)] * 3)),
    "turned by its EXIF data": lambda image: pictures.oriented(image.transpose(Image.Transpose.ROTATE_90), 6, "JPEG"),
}


def bits(data: bytes) -> np.ndarray:
    found = likeness.signature(data)
    assert found is not None
    return found


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(a ^ b).sum())


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_differs_by_few_bits(copied: str) -> None:
    for name, image in photographs().items():
        assert apart(bits(pictures.encoded(image)), bits(COPIES[copied](image))) <= likeness.ALIKE, name


def test_a_mirrored_copy_has_the_mirrored_bits() -> None:
    for name, image in photographs().items():
        turned = bits(jpeg(ImageOps.mirror(image), quality=60))
        assert apart(bits(pictures.encoded(image)), turned) > likeness.ALIKE, name
        assert apart(likeness.mirrored(bits(pictures.encoded(image))), turned) <= likeness.ALIKE, name


def test_photographs_differ_from_each_other() -> None:
    signed = [bits(pictures.encoded(image)) for image in photographs().values()]
    pairs = [(a, b) for n, a in enumerate(signed) for b in signed[:n]]
    assert len(pairs) == 55
    assert min(min(apart(a, b), apart(likeness.mirrored(a), b)) for a, b in pairs) > likeness.ALIKE + 24


@pytest.mark.parametrize(
    "data", [pictures.encoded(Image.new("RGB", (40, 30), "grey")), pictures.truncated(), b"no image"]
)
def test_what_cannot_be_told_apart_has_no_signature(data: bytes) -> None:
    assert likeness.signature(data) is None


def test_the_nearest_is_that_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "BLOCK", 40)  # four rows at a time
    random = np.random.default_rng(0)
    some, others = (random.integers(0, 2**64, (count, 4), dtype=np.uint64) for count in (13, 10))
    every = np.array([[apart(a, b) for b in others] for a in some])
    found = likeness.nearest(some, others)
    assert found.places.tolist() == every.argmin(axis=1).tolist()
    assert found.bits.tolist() == every.min(axis=1).tolist()
    but = every.argmin(axis=1)
    every[np.arange(13), but] = 999
    assert likeness.nearest(some, others, but).bits.tolist() == every.min(axis=1).tolist()


def test_a_whole_data_set_is_signed_in_the_order_of_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(likeness, "FILES", 2)
    images = {"a": pictures.png(seed=1), "b": b"no image", "c": pictures.png(seed=2), "d": pictures.png(seed=3)}
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        for name, data in images.items():
            gates.add(tar, name, data)
    manifest = pd.DataFrame({"key": list(images), "split": ["train", "train", "val", "test"]})
    found = likeness.signed(manifest, tmp_path / "images.tar")
    assert found["key"].tolist() == ["a", "c", "d"]
    assert found["split"].tolist() == ["train", "val", "test"]
    assert [each.tolist() for each in found["signature"]] == [bits(images[key]).tolist() for key in "acd"]


def table(*lines: tuple[str, str, bytes]) -> pd.DataFrame:
    rows = [(key, split, bits(data)) for key, split, data in lines]
    return pd.DataFrame(rows, columns=["key", "split", "signature"])


def test_a_copy_in_a_split_before_is_named() -> None:
    cat, tea, sky, sea, *_ = photographs().values()
    found = likeness.copies(
        table(
            ("cat", "train", pictures.encoded(cat)),
            ("tea", "val", pictures.encoded(tea)),
            ("sky", "test", pictures.encoded(sky)),
            ("cat-again", "test", jpeg(cat, 40)),
            ("tea-turned", "test", jpeg(ImageOps.mirror(tea))),
            ("sea", "val", pictures.encoded(sea)),
            ("sea-small", "val", jpeg(sea.resize((sea.width // 2, sea.height // 2)))),
        )
    )
    assert dict(zip(found["key"], found["copy_of"], strict=True)) == {
        "tea": None,
        "sea": None,
        "sea-small": None,  # copies within a split do no harm
        "sky": None,
        "cat-again": "cat (train)",
        "tea-turned": "tea (val, mirrored)",
    }


def test_pairs_that_are_joined_by_their_order_are_doubted() -> None:
    scenes = [pictures.noise(90, 80, seed) for seed in range(5)]
    names = [f"scene{number}" for number in (1, 10, 2, 3, 4)]  # as a sort by letters has them
    lines = [(f"{name}-t", "train", "", pictures.encoded(scene)) for name, scene in zip(names, scenes, strict=True)]
    right = [
        (f"{name}-i", "train", f"{name}-t", pictures.encoded(pictures.bad(scene)))
        for name, scene in zip(names, scenes, strict=True)
    ]
    wrong = [(key, split, target, right[place - 1][3]) for place, (key, split, target, _) in enumerate(right)]

    def joined(inputs: list[tuple[str, str, str, bytes]]) -> dict[str, str | None]:
        rows = [(key, split, target, bits(data)) for key, split, target, data in [*lines, *inputs]]
        found = likeness.doubtful(pd.DataFrame(rows, columns=["key", "split", "target", "signature"]))
        return dict(zip(found["key"], found["closer_to"], strict=True))

    assert set(joined(right).values()) == {None}
    assert joined(wrong) == {f"{name}-i": f"{names[place - 1]}-t" for place, name in enumerate(names)}
