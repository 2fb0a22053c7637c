"""Verification on made features with known answers, and networks that come as files."""

from pathlib import Path

import numpy as np
import outside
import pictures
import pytest
import torch
from torch import nn

from afterimage.core.errors import MetricError, WeightsError
from afterimage.leak import identity

PEOPLE = [f"person{number // 3}" for number in range(60)]
CPU = torch.device("cpu")


def drawn(spread: float, seed: int = 0) -> np.ndarray:
    """Features around a place for each person."""
    random = np.random.default_rng(seed)
    places = np.eye(20).repeat(3, axis=0)
    return places + spread * random.standard_normal(places.shape)


def test_people_that_lie_apart_are_always_told_and_noise_never() -> None:
    gallery = drawn(0.01)
    same = identity.verify(drawn(0.01, 1), gallery, PEOPLE, itself=False)
    assert (len(same.people), same.strangers) == (60 * 2, 60 * 57)
    assert same.people[:4] == ["person0"] * 4
    assert (same.above.mean(), same.accepted.mean()) == (1, 1)
    lost = identity.verify(np.random.default_rng(5).standard_normal((60, 20)), gallery, PEOPLE, itself=False)
    assert 0.4 < lost.above.mean() < 0.6
    assert lost.accepted.mean() < 0.06


def test_the_share_of_pairs_is_the_area_under_the_roc_curve() -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    gallery, queries = drawn(0.3), drawn(0.3, 1)
    found = identity.verify(queries, gallery, PEOPLE, itself=False)
    mean = gallery.mean(0)
    a, b = ((each - mean) / np.linalg.norm(each - mean, axis=1, keepdims=True) for each in (queries, gallery))
    who = np.array(PEOPLE)
    keep = ~np.eye(60, dtype=bool)
    truth, scores = (who[:, None] == who)[keep], (a @ b.T)[keep]
    assert found.above.mean() == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    false, right, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.accepted.mean() == pytest.approx(right[false <= 0.01].max(), abs=1e-12)


def test_itself_compares_with_the_photograph_that_it_was_made_of() -> None:
    random = np.random.default_rng(0)
    gallery = random.standard_normal((60, 20))  # nobody is like themselves on another photograph
    queries = gallery + 0.01 * random.standard_normal((60, 20))
    own = identity.verify(queries, gallery, PEOPLE, itself=True)
    assert (len(own.people), own.above.mean(), own.accepted.mean()) == (60, 1, 1)
    assert identity.verify(queries, gallery, PEOPLE, itself=False).above.mean() < 0.6


def test_one_answer_for_all_tells_nobody_apart_and_passes_nobody_by_a_tie() -> None:
    found = identity.verify(np.ones((4, 2)), np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]), ["a", "a", "b", "b"], False)
    assert found.above.mean() == pytest.approx(0.5)
    assert found.accepted.mean() == 0
    with pytest.raises(MetricError, match="all photographs are of a; telling people apart takes two or more"):
        identity.verify(np.ones((2, 2)), np.eye(2), ["a", "a"], itself=False)


# Networks


class Means(nn.Module):
    """The mean of each channel, from images in either layout."""

    def __init__(self, last: bool = False):
        super().__init__()
        self.last = last

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean((1, 2) if self.last else (2, 3))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_a_file_gets_images_as_it_takes_them(last: bool, colours: str, tmp_path: Path) -> None:
    shape = (1, 24, 16, 3) if last else (1, 3, 24, 16)
    outside.exported(Means(last), (torch.rand(*shape),), tmp_path / "means.onnx")
    network = identity.of_file(tmp_path / "means.onnx", (-1.0, 3.0), colours, CPU)
    assert (network.words, network.knows_people) == ("means.onnx, 16 x 24 px", True)
    pixels = np.stack([np.asarray(pictures.noise(48, 48, seed=seed)) for seed in range(3)])
    expected = pixels.mean((1, 2)) / 255 * 4 - 1
    np.testing.assert_allclose(network.embed(pixels), expected[:, :: 1 if colours == "rgb" else -1], atol=0.02)


def test_files_that_are_no_such_network_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"mine\.onnx: not an ONNX graph"):
        identity.of_file(path, (0.0, 1.0), "rgb", CPU)
    outside.exported(nn.Flatten(), (torch.rand(1, 4, 8, 8),), path)
    with pytest.raises(WeightsError, match=r"mine\.onnx: takes \[1, 4, 8, 8\]; expected one image"):
        identity.of_file(path, (0.0, 1.0), "rgb", CPU)
