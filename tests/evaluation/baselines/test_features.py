"""Baselines of features do what their names say."""

import numpy as np
import pytest
from rebuilt import images, png, write_shards

from afterimage.core.errors import ShardError
from afterimage.evaluation import features
from afterimage.evaluation.baselines.features import METHODS, mean_colour, mean_image


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


def test_every_baseline_is_described():
    assert list(features.METHODS) == list(METHODS)
