"""A fill of patches that the image has elsewhere."""

import numpy as np
import pytest
import torch
from skimage.data import chelsea

from afterimage.observations.holes import exemplar
from afterimage.observations.holes.exemplar import exemplar_fill
from afterimage.observations.holes.smooth import smooth_fill


def checks(side: int, cell: int = 4) -> torch.Tensor:
    """A board that repeats, in two colours."""
    y, x = np.indices((side, side)) // cell
    board = torch.from_numpy(((y + x) % 2).astype(np.float32))
    return torch.stack([board * 0.8 + 0.1, board * 0.3 + 0.2, 1 - board])[None]


def hole(side: int, first: int, last: int) -> torch.Tensor:
    masks = torch.zeros(1, 1, side, side)
    masks[..., first:last, first:last] = 1
    return masks


def error(found: torch.Tensor, truth: torch.Tensor, masks: torch.Tensor) -> float:
    return float(((found - truth).square() * masks).sum() / (3 * masks.sum())) ** 0.5


@pytest.mark.parametrize("side", [100, 200])  # two sizes, and three of them
def test_what_repeats_comes_back_where_a_smooth_fill_blurs(side):
    truth, masks = checks(side), hole(side, 20, 30)
    holed = torch.where(masks > 0.5, 0, truth)
    assert error(smooth_fill(holed, masks), truth, masks) > 0.25
    assert error(exemplar_fill(holed, masks), truth, masks) < 0.02


def test_known_pixels_stay_and_missing_ones_are_not_seen():
    torch.manual_seed(0)
    images, masks = torch.rand(2, 3, 40, 56), hole(56, 10, 20)[..., :40, :].repeat(2, 1, 1, 1)
    found = exemplar_fill(images, masks)
    known = (masks < 0.5).expand_as(images)
    assert found[known].equal(images[known]) and found.min() >= 0 and found.max() <= 1
    other = torch.where(known, images, torch.rand_like(images))
    assert exemplar_fill(other, masks).equal(found)
    alone = torch.cat([exemplar_fill(images[i : i + 1], masks[i : i + 1]) for i in range(2)])
    assert alone.equal(found)


def test_the_start_says_which_of_the_patches_fit():
    """Two textures, and a hole in the middle of a third colour: the start decides which of them continues into it."""
    left = checks(60)
    right = left.flip(1) * 0.5
    truth = torch.cat([left[..., :30], right[..., 30:]], dim=3)
    masks = hole(60, 20, 40)
    holed = torch.where(masks > 0.5, 0, truth)
    assert error(exemplar_fill(holed, masks, start=truth), truth, masks) < error(
        exemplar_fill(holed, masks), truth, masks
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (7, 7), (12, 90)])
def test_where_no_patch_is_whole_the_start_stays(size):
    images, masks = torch.full((1, 3, *size), 0.4), torch.ones(1, 1, *size)
    masks[..., 0] = 0
    found = exemplar_fill(images, masks)
    assert found.shape == images.shape and torch.isfinite(found).all()
    assert found.sub(0.4).abs().max() < 1e-5


def test_the_border_does_not_show(monkeypatch: pytest.MonkeyPatch):
    """In a photograph: smaller steps at the border of the hole than without the membrane through it."""
    photograph = torch.from_numpy(chelsea()[60:188, 120:248].copy()).movedim(-1, 0)[None] / 255
    masks = hole(128, 45, 85)
    holed = torch.where(masks > 0.5, 0, photograph)

    def steps(image: torch.Tensor) -> float:
        return float((image[..., 45:85, 44] - image[..., 45:85, 45]).abs().mean())

    found = exemplar_fill(holed, masks)
    monkeypatch.setattr(exemplar, "carried_in", lambda values, masks: torch.zeros_like(values))
    without = exemplar_fill(holed, masks)
    assert steps(found) < 0.8 * steps(without)
    assert error(found, photograph, masks) < error(without, photograph, masks)
