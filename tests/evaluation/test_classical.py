"""Baselines do what their names say."""

import numpy as np
import pytest
from test_evaluation import images, png, write_shards

from afterimage.core import params, shards
from afterimage.core.errors import ParamsError, ShardError
from afterimage.core.images import decode
from afterimage.evaluation.baselines.features import METHODS, BaselineRow, mean_colour, mean_image, reconstruct


def test_mean_colour_is_the_best_single_colour(tmp_path):
    image = images(0)[0]
    filled = mean_colour(tmp_path)(image)
    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    assert (filled == filled[0, 0]).all()

    def error(colour: np.ndarray) -> float:
        return float(np.square(image.astype(float) - colour).sum())

    best = error(filled[0, 0].astype(float))
    for channel in range(3):
        for step in (-1, 1):
            other = filled[0, 0].astype(float)
            other[channel] += step
            assert error(other) > best


def test_mean_image_is_that_of_the_training_images(tmp_path):
    train, test = images(1, 7), images(2, 3)
    write_shards(tmp_path, [(f"train{i}", png(image)) for i, image in enumerate(train)], "train")
    write_shards(tmp_path, [(f"test{i}", png(image)) for i, image in enumerate(test)], "test")
    expected = np.rint(np.mean([image.astype(float) for image in train], axis=0))
    method = mean_image(tmp_path)
    for image in test:
        np.testing.assert_array_equal(method(image), expected)


def test_mean_image_needs_training_images(tmp_path):
    write_shards(tmp_path, [("a", png(images(1, 1)[0]))], "test")
    with pytest.raises(ShardError, match="train"):
        mean_image(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_reconstructions_are_shards_of_the_test_split(method, tmp_path):
    source = tmp_path / "shards"
    write_shards(source, [(f"train{i}", png(image)) for i, image in enumerate(images(1, 4))], "train")
    test = images(2, 5)
    write_shards(source, [(f"test{i}", png(image)) for i, image in enumerate(test)], "test")
    for name in ("once", "twice"):
        reconstruct(method, source, tmp_path / name)
    found = list(shards.read(tmp_path / "once", "test"))
    assert [(key, extension) for key, _, extension in found] == [(f"test{i}", "png") for i in range(5)]
    rebuild = METHODS[method](source)
    for image, (_, data, _) in zip(test, found, strict=True):
        np.testing.assert_array_equal(np.asarray(decode(data)), rebuild(image))
    index = shards.load_index(tmp_path / "once")
    assert index["dataset"] == "photos"
    assert list(index["splits"]) == ["test"]
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert files == ["index.json", "test-000000.tar"]
    for name in files:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_methods_are_known_and_listed_once(tmp_path):
    path = tmp_path / "params.yaml"

    def row(methods: str) -> BaselineRow:
        path.write_text(f"baselines: {{photos: {{dataset: photos, methods: {methods}}}}}\n")
        return params.row(path, "baselines", "photos", BaselineRow)

    assert row("[mean_image]").methods == ["mean_image"]
    with pytest.raises(ParamsError, match=r"baselines\.photos\.methods.*`median`.*mean_colour, mean_image"):
        row("[mean_image, median]")
    with pytest.raises(ParamsError, match="twice"):
        row("[mean_image, mean_image]")
    with pytest.raises(ParamsError, match=r"baselines\.photos\.methods"):
        row("[]")
