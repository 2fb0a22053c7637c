"""Whether people can be told apart, before and after."""

from pathlib import Path

import numpy as np
import pytest
import rows
from pictures import noise, shards_of
from rows import observed
from sklearn.metrics import roc_auc_score

from afterimage.core.errors import MetricError
from afterimage.core.images import Uint8
from afterimage.evaluation import frames
from afterimage.evaluation.metrics import Floats, Lpips
from afterimage.evaluation.verification import Verification
from afterimage.observations.frames import store

PEOPLE = ("ann", "ann", "bob", "bob", "bob", "cy")


def colours(images: Uint8) -> Floats:
    return images.mean(axis=(1, 2)).astype(np.float64)


def gallery() -> list[tuple[str, str, Uint8]]:
    tints = {"ann": (60, 0, 0), "bob": (0, 60, 0), "cy": (0, 0, 60)}
    pictures = [np.asarray(noise(16, 16, seed)) // 2 for seed in range(len(PEOPLE))]
    return [
        (f"k{number}", who, (picture + np.array(tints[who])).astype(np.uint8))
        for number, (who, picture) in enumerate(zip(PEOPLE, pictures, strict=True))
    ]


def test_people_are_told_apart_as_long_as_they_look_different() -> None:
    every = gallery()
    keys, images = [key for key, _, _ in every], np.stack([image for _, _, image in every])
    found = Verification(colours, every)
    assert found.originals(keys).tolist() == [1] * 6
    assert found(keys, images).tolist() == [1] * 6
    assert found(keys[::-1], images[::-1]).tolist() == [1] * 6
    strangers = images[[2, 3, 0, 1, 0, 0]]
    assert found(keys, strangers).max() < 0.7
    assert found(["k0"], np.full((1, 16, 16, 3), 7, dtype=np.uint8))[0] < 1


def test_the_score_is_the_area_under_the_roc_curve() -> None:
    random = np.random.default_rng(0)
    table = {number: random.normal(size=5) for number in range(12)}
    images = [np.full((2, 2, 3), number, dtype=np.uint8) for number in range(12)]
    people = ["abc"[number % 3] for number in range(12)]

    def embed(some: Uint8) -> Floats:
        return np.stack([table[int(image[0, 0, 0])] for image in some])

    found = Verification(embed, [(str(n), people[n], images[n]) for n in range(12)])
    vectors = np.stack(list(table.values())) - np.mean(list(table.values()), axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    others = [n for n in range(12) if n != 4]
    wanted = roc_auc_score([people[n] == people[4] for n in others], [vectors[4] @ vectors[n] for n in others])
    assert found(["4"], images[4][None])[0] == pytest.approx(wanted)


def test_one_person_alone() -> None:
    with pytest.raises(MetricError, match="the test images are of ann alone; verification needs two people or more"):
        Verification(colours, gallery()[:2])


@pytest.mark.parametrize("people", [True, False])
def test_it_is_measured_where_the_groups_are_people(people: bool, tmp_path: Path, lpips: Lpips) -> None:
    shards_of(tmp_path / "shards", {"train": [1], "val": [1], "test": [6]})
    rows.written(observed("frames", people=people), "mine", tmp_path / "shards", tmp_path / "frames")
    stored = store.Stored(tmp_path / "frames", tmp_path / "shards", {})
    more = frames.image_metrics(stored, "mild", lpips)
    assert more is not None
    (given,) = stored.given("mild", 6)
    columns = more(given.keys, given.originals, given.originals)
    told = {name: values for name, values in columns.items() if "verification" in name}
    assert list(told) == (["verification_untrained", "verification_untrained_originals"] if people else [])
    for values in told.values():
        assert len(values) == 6
        assert ((values >= 0) & (values <= 1)).all()
