import numpy as np
import pictures
import pytest
from skimage import data

from afterimage.core.errors import VideoError
from afterimage.core.images import Uint8
from afterimage.video import Settings, regions


def negative(frames: Uint8) -> Uint8:
    return 255 - frames


def frames(count: int, height: int, width: int) -> Uint8:
    return np.stack([np.asarray(pictures.noise(width, height, seed)) for seed in range(count)])


def test_faces_only() -> None:
    batch = np.repeat(data.astronaut()[None, :320], 3, axis=0)
    result, found, _ = regions.apply(negative, batch, Settings(faces=True))
    assert found
    assert result.shape == batch.shape
    assert np.array_equal(result[:, 100:140, 205:240], 255 - batch[:, 100:140, 205:240])
    changed = (result != batch).any(axis=(0, 3))
    assert changed.mean() < 0.4
    assert changed[60:180, 160:290].mean() > 0.9
    assert not changed[:60, :120].any()


def test_no_face() -> None:
    batch = frames(2, 60, 80)
    for choice, expected in (("whole", 255 - batch), ("keep", batch)):
        result, found, _ = regions.apply(negative, batch, Settings(faces=True, no_face=choice))  # type: ignore[arg-type]
        assert not found
        assert np.array_equal(result, expected)
    with pytest.raises(VideoError, match="no face found; --no-face whole or keep goes on"):
        regions.apply(negative, batch, Settings(faces=True, no_face="stop"))
