import numpy as np
import pictures
import pytest
from skimage import data

from afterimage.errors import VideoError
from afterimage.images import Uint8
from afterimage.video import Settings, regions


def negative(frames: Uint8) -> Uint8:
    return 255 - frames


def frames(count: int, height: int, width: int) -> Uint8:
    return np.stack([np.asarray(pictures.noise(width, height, seed)) for seed in range(count)])


@pytest.mark.parametrize("size", [(40, 48), (300, 200), (333, 517), (1000, 100)])
def test_tiles_cover_a_frame_once(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "AT_ONCE", 100 * 100)
    count = np.zeros(size, dtype=int)
    boxes = regions.tiles(*size)
    for top, left, bottom, right in boxes:
        count[top:bottom, left:right] += 1
        assert (top % regions.GRID, left % regions.GRID) == (0, 0)
        assert 0 < (bottom - top) * (right - left) <= 100 * 100
    assert np.all(count == 1)
    assert len(boxes) <= 2.5 * size[0] * size[1] / 100**2 + 1


def test_tiles_show_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pixel becomes depends on its surroundings, but not on where a tile ends."""
    import cv2

    seen = []

    def blurred(batch: Uint8) -> Uint8:
        seen.append(batch.shape)
        return np.stack([cv2.blur(frame, (31, 31)) for frame in batch])

    batch = frames(5, 200, 300)
    expected = blurred(batch)
    monkeypatch.setattr(regions, "AT_ONCE", 20_000)
    seen.clear()
    assert np.array_equal(regions.whole(blurred, batch), expected)
    assert len(seen) > 5
    margins = (1 + 2 * regions.MARGIN / 100) ** 2
    assert all(count * height * width <= 20_000 * margins for count, height, width, _ in seen)


def test_faces_only() -> None:
    batch = np.repeat(data.astronaut()[None, :320], 3, axis=0)
    result, found = regions.apply(negative, batch, Settings(faces=True))
    assert found
    assert result.shape == batch.shape
    assert np.array_equal(result[:, 90:140, 200:240], 255 - batch[:, 90:140, 200:240])
    changed = (result != batch).any(axis=(0, 3))
    assert changed.mean() < 0.4
    assert not changed[:60, :120].any()


def test_no_face() -> None:
    batch = frames(2, 60, 80)
    for choice, expected in (("whole", 255 - batch), ("keep", batch)):
        result, found = regions.apply(negative, batch, Settings(faces=True, no_face=choice))  # type: ignore[arg-type]
        assert not found
        assert np.array_equal(result, expected)
    with pytest.raises(VideoError, match="no face found; --no-face whole or keep goes on"):
        regions.apply(negative, batch, Settings(faces=True, no_face="stop"))
    assert regions.faces(frames(1, 20, 20)[0]) == []
