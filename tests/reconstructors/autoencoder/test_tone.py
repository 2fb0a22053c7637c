"""One look at the whole frame, the curve that it gives, and training the two parts apart."""

import json

import numpy as np
import pytest
import rows
import torch
from pictures import noise, shards_of
from rows import observed

from afterimage.core import images, layout, params
from afterimage.core.errors import ParamsError
from afterimage.observations.frames import Frames, store
from afterimage.reconstructors.autoencoder import KIND
from afterimage.reconstructors.autoencoder.tone import CODE, PIECES, Blind, Light, Tone

DARK = {"dark": [{"step": "low_light", "gamma": [1.0, 1.0], "exposure": [0.4, 0.5]}]}
BLIND = {"tone": True, "arch": "nafnet", "levels": ["dark"], "loss": "log_mse", "crop": 16}


def seen(count: int = 2) -> Light:
    torch.manual_seed(0)
    return Light(
        torch.rand(count, PIECES) * 3 + 0.05, torch.rand(count, 1) / 10, torch.rand(count, CODE), torch.rand(count)
    )


def test_it_begins_with_the_identity_at_any_size():
    for size in ((1, 1), (7, 30), (100, 64)):
        frames = torch.rand(2, 3, *size)
        blind = Blind("nafnet", 4, 2, 1, 16).eval()
        torch.testing.assert_close(blind.tone(frames).toned(frames), frames)
        torch.testing.assert_close(blind(frames), frames)


def test_a_curve_rises_is_the_same_for_all_pixels_and_can_be_undone():
    light = seen()
    ramp = torch.linspace(0, 1, 300).view(1, 1, 1, 300).repeat(2, 3, 1, 1)
    found = light.toned(ramp)
    assert (found.diff(dim=-1) > 0).all()
    assert torch.equal(found[:, 0], found[:, 2])
    torch.testing.assert_close(found[0, 0, 0, 0], light.start[0, 0])
    torch.testing.assert_close(light.undone(found), ramp, atol=1e-4, rtol=0)
    torch.testing.assert_close(light.of(torch.tensor([1])).toned(ramp[:1]), found[1:])


def test_a_curve_that_hardly_moves_a_frame_is_not_applied():
    light = seen()._replace(slopes=torch.tensor([1.01, 0.5])[:, None].repeat(1, PIECES), start=torch.zeros(2, 1))
    frames = torch.rand(2, 3, 9, 7)
    settled = light.settled(frames)
    torch.testing.assert_close(settled.toned(frames)[0], frames[0])
    assert torch.equal(settled.toned(frames)[1], light.toned(frames)[1])
    assert torch.equal(settled.code, light.code)


def test_what_is_seen_tells_noise_from_none():
    tone = Tone()
    plain = torch.full((1, 3, 64, 64), 0.5)
    noisy = plain + 0.1 * torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(tone(plain).code, tone(noisy).code, atol=1e-2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A project with frames of half the light, and a row that learned to set it."""
    root = tmp_path_factory.mktemp("project")
    originals = shards_of(root / layout.shards("mine"), {"train": [16], "val": [4], "test": [4]})
    rows.written(observed("frames", levels=DARK), "mine", originals, root / "frames")
    mine = rows.row("autoencoder", **BLIND, training={"epochs": 40, "learning_rate": 0.003})
    rows.trained(mine, root / "frames", originals, root)
    return root


def test_the_light_is_learned(data):
    curves = np.genfromtxt(data / layout.model("mine") / "curves.csv", delimiter=",", names=True)
    assert {"train_log_mse", "train_light", "train_damage"} <= set(curves.dtype.names)
    assert curves["train_light"][-1] < curves["train_light"][0] - 0.02
    assert curves["val_psnr"].max() > curves["val_psnr"][0] + 1


def test_brightness_and_strength_hold_it_back(data):
    (one,) = rows.loaded(data).values()
    (_, image), *_ = store.levels(data / "frames", ["dark"])[0].frames("test")
    given = Frames(["a"], (32, 32), [image])

    def asked(brightness: float, strength: float) -> np.ndarray:
        one.brightness, one.strength = brightness, strength
        return images.to_uint8(one(given).images)[0].astype(int)

    assert asked(1, 1).mean() > image.mean() + 15
    assert abs(asked(0.5, 1).mean() - (asked(1, 1).mean() + asked(0, 1).mean()) / 2) < 2
    assert np.abs(asked(0, 0) - image).max() <= 1


def test_a_large_frame_is_seen_whole_and_restored_in_tiles(data, monkeypatch):
    (one,) = rows.loaded(data).values()
    large = np.concatenate([np.asarray(noise(96, 96, seed=seed)) // (2 * seed) for seed in (1, 2)])
    whole = images.to_uint8(one(Frames(["a"], large.shape[:2], [large])).images)
    monkeypatch.setattr("afterimage.reconstructors.autoencoder.restoring.TILE", 64)
    tiled = images.to_uint8(one(Frames(["a"], large.shape[:2], [large])).images)
    assert np.abs(whole.astype(int) - tiled).mean() < 0.5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"arch": "lenet", "fold": 1},
            "tone: true is for rows with levels and without filters, and arch: skip or nafnet",
        ),
        ({"filters": ["nlm"]}, "tone: true is for rows with levels and without filters"),
        ({"crop": 15}, "crop: 15 is no multiple of factor"),
    ],
)
def test_settings_that_do_not_go_together(changes, expected, tmp_path):
    row = {**rows.ROWS["autoencoder"], "kind": "autoencoder", "dataset": "mine", "training": rows.TRAINING}
    (tmp_path / "params.yaml").write_text(json.dumps({"reconstructors": {"mine": {**row, **BLIND, **changes}}}))
    with pytest.raises(ParamsError, match=expected):
        params.row(tmp_path / "params.yaml", "reconstructors", "mine", KIND.Row)
