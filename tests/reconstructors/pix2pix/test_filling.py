"""A trained generator on images of any size."""

from pathlib import Path

import pytest
import rows
import torch

from afterimage.core import weights
from afterimage.observations.holes import Holes
from afterimage.observations.holes.exemplar import exemplar_fill
from afterimage.reconstructors.pix2pix import KIND, Filling
from afterimage.reconstructors.pix2pix.unet import Generator
from afterimage.training import models


def filling(size: int = 32) -> Filling:
    torch.manual_seed(0)
    made = Generator(size, 4, "plain", True)
    torch.nn.init.normal_(made.last.weight, std=0.1)  # it starts at zero, where much would be the same
    return Filling(made.eval(), size, torch.device("cpu"))


def holes(height: int, width: int) -> Holes:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, height, width, generator=generator)
    masks = torch.zeros(2, 1, height, width)
    masks[:, :, height // 3 : height // 2 + 1, : width // 2 + 1] = 1
    return Holes(["a", "b"], (height, width), torch.where(masks > 0.5, 0, images), masks)


@pytest.mark.parametrize("size", [(32, 32), (33, 70), (5, 9), (1, 4), (96, 64)])
def test_any_size_is_filled_and_what_is_known_stays(size):
    given = holes(*size)
    found = filling()(given).images
    assert found.shape == given.images.shape
    known = (given.masks < 0.5).expand_as(found)
    assert torch.equal(found[known], given.images[known])
    missing = found[~known]
    assert 0 <= float(missing.min()) <= float(missing.max()) <= 1
    assert not torch.equal(missing, torch.zeros_like(missing))


def test_a_size_of_training_goes_through_as_it_is():
    made, given = filling(), holes(32, 64)
    with torch.no_grad():
        wanted = made.network(given.images, given.masks)
    assert torch.equal(made(given).images, wanted)


def test_patches_continue_the_fill_of_the_network():
    made, given = filling(), holes(40, 40)
    continued = Filling(made.network, 32, torch.device("cpu"), exemplar=True)
    found = continued(given).images
    known = (given.masks < 0.5).expand_as(found)
    assert torch.equal(found[known], given.images[known])
    assert torch.equal(found, exemplar_fill(given.images, given.masks, start=made(given).images))
    assert not torch.equal(found, made(given).images)


def test_each_detail_is_a_reconstructor_and_the_first_is_used(tmp_path: Path):
    weights.save(tmp_path / models.MODEL, Generator(32, 4, "plain", True).state_dict(), {})
    settings = rows.row("pix2pix", detail=["exemplar", "smooth"]).model_dump()
    model = models.Model(tmp_path, {"settings": settings, "size": 32})
    found = KIND.load(model)
    assert {name: made.exemplar for name, made in found.items()} == {"smooth": False, "exemplar": True}
    assert list(found)[-1] == "exemplar"
    one = KIND.load(models.Model(tmp_path, {"settings": {**settings, "detail": ["smooth"]}, "size": 32}))
    assert list(one) == [""]
