"""Checkpoints of published architectures, with random weights through spandrel."""

import re
from pathlib import Path

import numpy as np
import outside
import pytest
import torch

from afterimage.core import images
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.observations.frames import Frames
from afterimage.reconstructors.external import checkpoint

FRAMES = ("NAFNet", "SCUNet", "SwinIR", "Compact")


@pytest.mark.parametrize("extension", ["safetensors", "pth"])
@pytest.mark.parametrize("name", FRAMES)
def test_spandrel_finds_out_which_architecture_restores(tmp_path: Path, name: str, extension: str) -> None:
    module = outside.network(name)
    row = outside.saved(module, tmp_path / f"x.{extension}")
    found = outside.load(tmp_path, "checkpoint", "frames", **row)
    assert found.model.descriptor.architecture.name in (name, "RealESRGAN Compact")
    given = outside.observation("frames")
    made = found(given).images
    assert made.shape == (2, 3, outside.SIDE, outside.SIDE)
    with torch.inference_mode():
        wanted = found.model.descriptor(images.to_tensor(given.frames[0])[None])
    if name == "Compact":
        assert wanted.shape[-1] == 2 * outside.SIDE  # enlarged by two, and brought back
    else:
        np.testing.assert_array_equal(made[0], wanted[0])


@pytest.fixture(scope="module")
def lama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LaMa, whose one size has 51 million parameters, in float16."""
    folder = tmp_path_factory.mktemp("lama")
    outside.saved(outside.network("LaMa").half(), folder / "lama.safetensors")
    return folder


def test_lama_fills_holes_and_known_pixels_stay(lama: Path) -> None:
    row = outside.pinned(lama / "lama.safetensors")
    given = outside.observation("holes")
    for side in (None, 48):
        made = outside.load(lama, "checkpoint", "holes", **row, side=side)(given).images
        known = given.masks.expand_as(made) < 0.5
        assert torch.equal(made[known], given.images[known])
        assert not torch.equal(made, given.images)
    with pytest.raises(ParamsError, match="LaMa is for Inpainting, and the row observes frames"):
        outside.load(lama, "checkpoint", "frames", **row)


def test_a_restorer_fills_no_holes(tmp_path: Path) -> None:
    row = outside.saved(outside.network("NAFNet"), tmp_path / "x.pth")
    with pytest.raises(ParamsError, match=r"x\.pth: NAFNet is for Restoration, and the row observes holes"):
        outside.load(tmp_path, "checkpoint", "holes", **row)


@pytest.mark.parametrize("name", ["NAFNet", "Compact"])
def test_a_large_frame_goes_through_in_tiles(tmp_path: Path, name: str) -> None:
    row = outside.saved(outside.network(name), tmp_path / "x.safetensors")
    frame = outside.pixels(3, 160)
    tiled, whole = (
        outside.load(tmp_path, "checkpoint", "frames", **row, tile=tile)(Frames(["a"], (160, 160), [frame])).images
        for tile in (48, None)
    )
    near = 0.02 if name == "NAFNet" else 1e-5  # NAFNet weighs channels by their means over all that it sees
    assert float((tiled - whole).abs().max()) < near


def test_a_smaller_side_is_brought_back(tmp_path: Path) -> None:
    row = outside.saved(outside.network("Compact"), tmp_path / "x.safetensors")
    seen: list[torch.Size] = []
    found = outside.load(tmp_path, "checkpoint", "frames", **row, side=24)
    network = found.model

    def watched(parts: list[torch.Tensor]) -> torch.Tensor:
        seen.append(parts[0].shape)
        return network(parts)

    found.model = watched
    assert found(Frames(["a"], (40, 60), [np.zeros((40, 60, 3), np.uint8)])).images.shape == (1, 3, 40, 60)
    assert seen == [(1, 3, 24, 36)]


class Payload:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("ran.txt", "w")


def test_a_payload_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = outside.network("NAFNet").state_dict()
    torch.save({"params": state, "more": Payload()}, "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth: not weights that can be read safely: ") as caught:
        outside.load(tmp_path, "checkpoint", "frames", **outside.pinned(Path("evil.pth")))
    assert "\n" not in str(caught.value)
    assert not Path("ran.txt").exists()


def test_files_that_are_no_such_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth: no architecture that spandrel [\d.]+ knows"):
        outside.load(tmp_path, "checkpoint", "frames", **outside.pinned(tmp_path / "other.pth"))
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not weights that can be read safely"):
        outside.load(tmp_path, "checkpoint", "frames", **outside.pinned(tmp_path / "x.safetensors"))
    with pytest.raises(WeightsError, match=re.escape("x.safetensors: its sha256 is ")):
        outside.load(tmp_path, "checkpoint", "frames", path="x.safetensors", sha256="0" * 64)
    with pytest.raises(WeightsError, match="there is no such file"):
        outside.load(tmp_path, "checkpoint", "frames", path="gone.pth", sha256="0" * 64)
    with pytest.raises(
        ParamsError, match="format 'checkpoint' takes holes and frames, and the row observes 'features'"
    ):
        outside.load(tmp_path, "checkpoint", "features", path="gone.pth", sha256="0" * 64)


class Half:
    """Says what a GPU would be asked for."""

    def __init__(self, half: bool, bfloat16: bool):
        self.supports_half, self.supports_bfloat16 = half, bfloat16


@pytest.mark.parametrize(
    ("half", "bfloat16", "device", "asked", "wanted"),
    [
        (True, True, "cuda", True, torch.float16),
        (False, True, "cuda", True, torch.bfloat16),
        (False, False, "cuda", True, torch.float32),
        (True, True, "cuda", False, torch.float32),
        (True, True, "cpu", True, torch.float32),
    ],
)
def test_a_gpu_computes_in_half_precision_where_that_is_known_to_work(
    half: bool, bfloat16: bool, device: str, asked: bool, wanted: torch.dtype
) -> None:
    assert checkpoint.precision(Half(half, bfloat16), torch.device(device), asked) == wanted
