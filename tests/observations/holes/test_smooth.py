"""A quick fill that learned rows start from."""

import torch

from afterimage.observations.holes.smooth import smooth_fill


def test_a_smooth_fill_follows_a_slope_and_scales_with_it():
    slope = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 20:39, 10:29] = 1
    found = smooth_fill(slope, masks)
    assert (found - slope).abs().max() < 0.03
    torch.testing.assert_close(smooth_fill(slope * 0.5, masks), found * 0.5)
    assert smooth_fill(torch.full((1, 3, 33, 47), 0.3), torch.ones(1, 1, 33, 47).tril()).sub(0.3).abs().max() < 1e-5
