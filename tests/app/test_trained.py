"""What a row was trained on, and what about a picture is unlike it: warnings without false alarms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from afterimage.app import inputs, models, restore, trained
from afterimage.core import outputs, zoo

LOW_LIGHT = {"step": "low_light", "chance": 1.0, "gamma": [1.2, 1.5], "exposure": [0.6, 0.8]}
NOISE = {"step": "noise", "chance": 1.0, "shot": [1e-3, 5e-3], "read": [5e-3, 2e-2]}


def row(observes: str, given: list[dict[str, Any]], **more: Any) -> models.Row:
    card = {"observes": observes, "dataset": "photos", "size": 64, "given": given, **more}
    return models.Row("mine", "small", card, False)


def in_the_zoo(name: str) -> models.Row:
    card = zoo.card(ROOT, name)
    return models.Row(name, card["observation"], card, False)


def levels(**steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"level": name, "steps": some} for name, some in steps.items()]


def test_a_line_says_what_a_row_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERIMAGE_PROJECT", str(tmp_path))
    given = [{"layer": "relu", "encoder": "vgg16", "weights_origin": "random, seed 0", "shape": [64, 16, 16]}]
    features = row("features", given)
    of = "features of vgg16, weights random, seed 0"
    assert trained.words(features) == f"mine was trained on tiles of 64 px of photos: {of}."
    outputs.write_json(tmp_path / "data/shards/photos/index.json", {"splits": {"train": {"samples": 1227}}})
    assert trained.words(features) == f"mine was trained on 1,227 tiles of 64 px of photos: {of}."
    assert trained.short(features) == "trained on 64 px tiles of photos"
    holes = row("holes", [{"row": {"shape": "boxes", "side": 0.293}}])
    assert trained.words(holes).endswith("of photos: boxes of 29% of the side missing.")
    given = levels(clean=[], medium=[LOW_LIGHT], heavy=[LOW_LIGHT])
    frames = row("frames", given, settings={"levels": ["medium", "medium", "clean"]})
    assert trained.words(frames).endswith("of photos: damage of the levels medium, clean.")
    assert "of BSDS500, ImageNet, Labeled" in trained.words(in_the_zoo("zoo/real-blind"))
    assert trained.short(in_the_zoo("zoo/real-blind")) == "trained on 240 px tiles of 4 data sets"
    assert trained.words(models.Row("other", "small", {"observes": "frames"}, False)) == ""


def test_a_layer_that_saw_the_edge_alone_is_said_in_larger_pictures() -> None:
    deep = row("features", [{"layer": "layer3", "shape": [1024, 4, 4]}])
    (sentence,) = trained.unlike_features(deep, Image.new("RGB", (768, 512)))
    assert sentence.startswith("In training each feature of layer3 saw the edge of its tile of 64 px.")
    assert not list(trained.unlike_features(deep, Image.new("RGB", (768, 100))))
    mosaics = row("features", [{"layer": "layer3", "shape": [1024, 4, 4]}], settings={"mosaic": 0.4})
    assert not list(trained.unlike_features(mosaics, Image.new("RGB", (768, 512))))
    shallow = row("features", [{"layer": "layer2", "shape": [512, 8, 8]}])
    assert not list(trained.unlike_features(shallow, Image.new("RGB", (4000, 3000))))


def box(size: tuple[int, int], *corners: int) -> np.ndarray:
    mask = np.zeros(size[::-1], dtype=bool)
    left, top, right, bottom = corners
    mask[top:bottom, left:right] = True
    return mask


def test_holes_that_are_larger_than_in_training_are_said() -> None:
    boxes = row("holes", [{"row": {"shape": "boxes", "side": 0.293}}])
    assert not list(trained.unlike_holes(boxes, box((256, 256), 40, 60, 115, 135)))
    assert not list(trained.unlike_holes(boxes, box((64, 64), 10, 10, 29, 29)))
    assert not list(trained.unlike_holes(boxes, box((200, 150), 0, 70, 200, 74)))  # a scratch is long, not wide
    (sentence,) = trained.unlike_holes(boxes, box((128, 128), 4, 4, 124, 124))
    assert "119 px wide where 128 px can be seen, 93%; in training holes were 29%" in sentence
    (sentence,) = trained.unlike_holes(boxes, box((4000, 3000), 100, 100, 700, 700))
    assert sentence.startswith("What is around the hole is reduced from 1805 to 64 px")
    strokes = row("holes", [{"row": {"shape": "strokes"}}])
    assert not list(trained.unlike_holes(strokes, box((128, 128), 4, 4, 124, 124)))


def test_noise_and_light_beyond_training_are_said() -> None:
    dark = row("frames", levels(medium=[LOW_LIGHT, NOISE]), settings={"levels": ["medium"]})
    bright = Image.new("RGB", (80, 60), (250, 250, 250))
    assert list(trained.unlike_frames(dark, bright)) == [
        "It was trained on pictures with 80% of their light; this one can come out too bright."
    ]
    assert not list(trained.unlike_frames(dark, Image.new("RGB", (80, 60), (160, 160, 160))))
    assert list(trained.unlike_frames(dark, Image.new("RGB", (80, 60), (20, 20, 20)))) == [
        "The picture is darker than what it was trained on."
    ]
    noisy = restore.spoiled(
        Image.new("RGB", (200, 100), "grey"), [{"step": "noise", "shot": 0.02, "read": 0.14, "seed": 0}]
    )
    (sentence,) = trained.unlike_frames(dark, noisy)
    assert sentence.startswith("The picture is noisier, 1") and sentence.endswith("trained on, at most 5%.")
    assert not list(trained.unlike_frames(row("frames", []), noisy))


def test_noise_is_measured() -> None:
    grey = np.full((200, 300), 0.5, np.float32)
    for sigma in (0.01, 0.05, 0.1):
        seen = grey + np.random.default_rng(0).normal(0, sigma, grey.shape).astype(np.float32)
        assert trained.noise(seen) == pytest.approx(sigma, rel=0.05)
    assert trained.noise(grey) == 0


def test_photographs_raise_no_alarm() -> None:
    """The bundled ones as they are, and as the levels that the row saw leave them."""
    blind, larger = in_the_zoo("zoo/real-blind"), in_the_zoo("zoo/real-x2")
    medium = [
        {"step": "low_light", "gamma": 1.4, "exposure": 0.65},
        {"step": "downscale", "factor": 2.5, "filter": "area"},
        {"step": "noise", "shot": 4e-3, "read": 0.02, "seed": 0},
    ]
    samples = inputs.samples()
    assert len(samples) > 5
    for sample in samples:
        for image in (sample.picture.image, restore.spoiled(sample.picture.image, medium)):
            assert not list(trained.unlike_frames(blind, image)), sample.picture.name
        assert not list(trained.unlike_frames(larger, sample.picture.image)), sample.picture.name
    noise = {"step": "noise", "shot": 1e-3, "read": 0.1, "seed": 0}
    (sentence,) = trained.unlike_frames(larger, restore.spoiled(samples[0].picture.image, [noise]))
    assert "noisier" in sentence and "at most 0%" in sentence
