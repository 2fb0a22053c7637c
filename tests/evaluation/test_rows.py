"""Rows and baselines of each kind of observation are rebuilt and measured, case by case."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rebuilt
import rows
import torch
from pictures import shards_of
from rows import LEVELS, observed

from afterimage.core import images, layout, outputs, shards
from afterimage.core.errors import ParamsError
from afterimage.core.images import Uint8, decode
from afterimage.evaluation import evaluating
from afterimage.evaluation.baselines import frames as classical_frames
from afterimage.evaluation.baselines import holes as classical_holes
from afterimage.evaluation.evaluating import Places
from afterimage.evaluation.metrics import Lpips
from afterimage.reconstructors import Reconstruction, Reconstructor

FOLDERS = {"features": "features/relu1_1", "holes": "holes", "frames": "frames"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's shards, and an observation of each kind."""
    root = tmp_path_factory.mktemp("data")
    shards_of(root / "images", {"train": [3], "val": [1], "test": [4, 2]})
    rows.features(root / "images", root / "features", observed("features", layers=["relu1_1"]), rows.encoder())
    for kind in ("holes", "frames"):
        rows.written(observed(kind), "mine", root / "images", root / kind)
    manifest = root / layout.raw("mine") / "manifest.csv"
    manifest.parent.mkdir(parents=True)
    keys = shards.Table(root / "images", "test").keys
    outputs.write_csv(manifest, ["key", "tone"], [[key, "ab"[n % 2]] for n, key in enumerate(keys)])
    return root


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "reconstructions", tmp_path / "measured", tmp_path / "metrics")


def stored(data: Path, kind: str) -> Any:
    module = evaluating.importlib.import_module(f"afterimage.observations.{kind}.store")
    return module.Stored(data / FOLDERS[kind], data / "images", {})


def originals(data: Path) -> dict[str, Uint8]:
    return {key: np.asarray(decode(png)) for key, png, _ in shards.read(data / "images", "test")}


class Knowing(Reconstructor):
    """Answers with the originals, made darker by so many levels, and tells numbers of its own."""

    def __init__(self, data: Path, darker: int = 0, samples: int = 0):
        self.truth, self.darker, self.samples = originals(data), darker, samples
        self.batches: list[list[str]] = []
        self.forgot = 0
        self.kinds: set[str] = set()

    def __call__(self, given: Any) -> Reconstruction:
        self.batches.append(list(given.keys))
        self.kinds.add(type(given).__name__)
        truth = [self.truth[key] for key in given.keys] if given.keys[0] in self.truth else given.frames
        found = images.to_tensor(np.stack([np.maximum(image, self.darker) - np.uint8(self.darker) for image in truth]))
        drawn = None
        if self.samples:
            steps = torch.linspace(-0.1, 0.1, self.samples)[None, :, None, None, None]
            drawn = (found[:, None] + steps).clamp(0, 1)
        return Reconstruction(found, drawn, {"steps": [float(self.darker)] * len(given.keys)})

    def score(self, given: Any, originals: Uint8, rebuilt: Uint8) -> Mapping[str, Any]:
        assert originals.dtype == rebuilt.dtype == np.uint8
        off = np.abs(originals.astype(float) - rebuilt).mean((1, 2, 3))
        return {"bits": off + 1} if type(given).__name__ == "Holes" else {"feature_error": off}

    def forget(self) -> None:
        self.forgot += 1


def row(observes: str, count: int | None = None, **settings: Any) -> Any:
    """Of a kind that nobody knows."""
    values = {"observes": observes, "dataset": "mine", "images": count, **settings}
    return SimpleNamespace(**values, together=4, model_dump=lambda: dict(values))


def evaluate(data: Path, mine: Any, found: Mapping[str, Any], places: Places, lpips: Lpips) -> None:
    evaluating.evaluate_row(mine, found, stored(data, mine.observes), places, rebuilt.METRICS, lpips)


def metrics(places: Places) -> dict[str, dict[str, float]]:
    paths = sorted(places.metrics.rglob("*.json"))
    return {path.relative_to(places.metrics).with_suffix("").as_posix(): json.loads(path.read_text()) for path in paths}


def intervals(places: Places, case: str) -> Any:
    return json.loads((places.measured / case / "intervals.json").read_text())["metrics"]


def test_a_row_of_features_has_a_case_for_each_way(data: Path, places: Places, lpips: Lpips) -> None:
    ways = {"decoder": Knowing(data, darker=9), "hybrid": Knowing(data)}
    evaluate(data, row("features", 3), ways, places, lpips)
    found = metrics(places)
    assert (
        list(found) == ["decoder", "hybrid"] == json.loads((places.measured / "provenance.json").read_text())["cases"]
    )
    assert list(found["hybrid"]) == sorted(["psnr", "ssim", "feature_error", "lpips_untrained"])
    assert (found["hybrid"]["psnr"], found["hybrid"]["feature_error"]) == (100, 0)
    assert found["decoder"]["feature_error"] == pytest.approx(9, abs=1)
    assert (intervals(places, "decoder")["steps"]["mean"], intervals(places, "hybrid")["steps"]["mean"]) == (9, 0)
    keys = sorted(originals(data))
    lines = rebuilt.lines(places.measured / "hybrid/images.csv")
    assert [line["key"] for line in lines] == [keys[1], keys[3], keys[5]]  # evenly spread
    assert list(lines[0])[:3] == ["key", "image", "group"]
    assert {"mse", "psnr", "ssim", "lpips_untrained", "steps", "feature_error"} == {*lines[0]} - {
        "key",
        "image",
        "group",
    }
    assert ways["hybrid"].kinds == {"Features"}
    assert [way.forgot for way in ways.values()] == [1, 1]
    assert ways["hybrid"].batches == [[keys[1], keys[3], keys[5]]]
    tar = shards.Table(places.reconstructions / "hybrid", "test")
    assert (tar.index["dataset"], tar.index["size"], tar.keys) == ("mine", 32, [keys[1], keys[3], keys[5]])


def test_a_row_with_one_way_has_the_case_test(data: Path, places: Places, lpips: Lpips) -> None:
    only = Knowing(data, darker=3)
    evaluate(data, row("features"), {"": only}, places, lpips)
    assert list(metrics(places)) == ["test"]
    assert [len(batch) for batch in only.batches] == [4, 2]
    found = dict(zip(shards.Table(places.reconstructions / "test", "test").keys, originals(data), strict=True))
    assert list(found) == list(originals(data))


def test_a_row_of_holes_is_measured_in_its_holes_and_by_its_samples(data: Path, places: Places, lpips: Lpips) -> None:
    evaluate(data, row("holes"), {"": Knowing(data, darker=2, samples=3)}, places, lpips)
    (found,) = metrics(places).values()
    assert set(found) == {"hole_rmse", "hole_psnr", "psnr", "ssim", "bits", "lpips_untrained"}
    told = intervals(places, "test")
    assert {"hole_mse", "band_rmse", "hole_ssim", "missing", "coverage", "spread", "histogram_bits"} < set(told)
    assert 0 < told["coverage"]["mean"] <= 1
    assert told["spread"]["mean"] == pytest.approx(np.std([-0.1, 0, 0.1]), rel=0.1)
    drawn = [shards.Table(places.reconstructions / "test", "test", f"sample{number}") for number in range(3)]
    assert all(table.keys == list(originals(data)) for table in drawn)
    assert len({table.bytes(0) for table in drawn}) == 3


def test_the_histogram_is_measured_where_bits_are_told_alone(
    data: Path, places: Places, lpips: Lpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Knowing, "score", lambda *_: {})
    evaluate(data, row("holes", 2), {"": Knowing(data)}, places, lpips)
    told = intervals(places, "test")
    assert not {"histogram_bits", "coverage", "spread", "bits"} & set(told)


@pytest.mark.parametrize("levels", [["mild"], []])
def test_a_row_of_frames_has_a_case_for_each_level(
    levels: list[str], data: Path, places: Places, lpips: Lpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    known = Knowing(data, darker=1)

    def restore(given: Any) -> Reconstruction:
        if given.keys[0] in known.truth:
            return known(given)
        frames = [classical_frames.restore("bicubic", frame, given.size) for frame in given.frames]
        return Reconstruction(images.to_tensor(np.stack(frames)))

    way = type("Way", (Reconstructor,), {"__call__": lambda self, given: restore(given)})
    evaluate(data, row("frames", levels=levels, filters=["gamma"]), {"": way()}, places, lpips)
    assert list(metrics(places)) == sorted(LEVELS)
    assert set(metrics(places)["mild"]) == {"psnr", "psnr_tone", "ssim", "mse", "lpips_untrained"}
    assert known.kinds == {"Frames"}
    beside = {path.name for path in places.measured.iterdir() if path.is_file()}
    assert beside == {"provenance.json", "subgroups.csv", "steps.csv" if levels else "protocol.json"}
    assert json.loads((places.measured / "provenance.json").read_text())["cases"] == list(LEVELS)
    groups = {line["column"] for line in rebuilt.lines(places.measured / "subgroups.csv")}
    assert groups == {"brightness", "tone"}


def test_several_ways_of_several_cases_have_names_of_both() -> None:
    assert evaluating._label("hybrid", "mild", 2) == "mild/hybrid"
    assert evaluating._label("", "mild", 2) == "mild"
    assert evaluating._label("hybrid", "test", 1) == "hybrid"
    assert evaluating._label("", "test", 1) == "test"


def test_the_same_bytes_twice_and_nothing_where_it_fails(
    data: Path, places: Places, tmp_path: Path, lpips: Lpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Places(*(tmp_path / f"other-{path.name}" for path in places))
    for there in (places, other):
        evaluate(data, row("holes"), {"": Knowing(data, darker=2, samples=2)}, there, lpips)
    for first, second in zip(places, other, strict=True):
        for path in first.rglob("*.*"):
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes(), path

    def fail(self: Knowing, given: Any, originals: Uint8, rebuilt: Uint8) -> Any:
        raise ParamsError("no")

    monkeypatch.setattr(Knowing, "score", fail)
    broken = Places(*(tmp_path / f"broken-{path.name}" for path in places))
    known = Knowing(data)
    with pytest.raises(ParamsError):
        evaluate(data, row("holes"), {"": known}, broken, lpips)
    assert known.forgot == 0
    assert not [path for path in tmp_path.iterdir() if "broken" in path.name]


# Baselines


def measure_baselines(data: Path, kind: str, names: list[str], places: Places, lpips: Lpips) -> dict[str, Any]:
    evaluating.evaluate_baselines(kind, names, stored(data, kind), places, rebuilt.METRICS, lpips)
    return metrics(places)


def answers(places: Places, case: str) -> dict[str, Uint8]:
    return {key: np.asarray(decode(png)) for key, png, _ in shards.read(places.reconstructions / case, "test")}


def test_baselines_of_features(data: Path, places: Places, lpips: Lpips) -> None:
    found = measure_baselines(data, "features", ["mean_colour", "mean_image"], places, lpips)
    assert list(found) == ["mean_colour", "mean_image"]
    assert 5 < found["mean_image"]["psnr"] < found["mean_colour"]["psnr"] < 30
    train = [np.asarray(decode(png)).astype(float) for _, png, _ in shards.read(data / "images", "train")]
    for image in answers(places, "mean_image").values():
        np.testing.assert_array_equal(image, np.rint(np.mean(train, axis=0)))


def test_baselines_of_holes_fill_the_stored_ones(data: Path, places: Places, lpips: Lpips) -> None:
    found = measure_baselines(data, "holes", ["black", "telea"], places, lpips)
    assert found["telea"]["hole_rmse"] < found["black"]["hole_rmse"]
    masks = stored(data, "holes").images("test")
    for key, image in answers(places, "telea").items():
        mask = masks.stored[key]
        np.testing.assert_array_equal(image, classical_holes.fill("telea", originals(data)[key], mask))


def test_baselines_of_frames_are_measured_at_each_level(data: Path, places: Places, lpips: Lpips) -> None:
    found = measure_baselines(data, "frames", ["identity", "bicubic"], places, lpips)
    assert list(found) == ["bad/bicubic", "bad/identity", "mild/bicubic", "mild/identity"]
    frames = dict(stored(data, "frames").levels["bad"].frames("test"))
    for key, image in answers(places, "bad/bicubic").items():
        np.testing.assert_array_equal(image, classical_frames.restore("bicubic", frames[key], (32, 32)))


def test_baselines_are_known_and_listed_once(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"

    def read(text: str, kind: str = "features") -> list[str]:
        path.write_text(f"baselines: {{features: {text}}}\n")
        return evaluating.baselines_of(path, kind)

    assert read("[mean_image]") == ["mean_image"]
    assert read("[]") == read("[mean_image]", "holes") == []
    with pytest.raises(ParamsError, match=r"`baselines.features`: no baseline 'median'; there are mean_colour, mean_i"):
        read("[mean_image, median]")
    with pytest.raises(ParamsError, match=r"`baselines.features`: a baseline is listed twice"):
        read("[mean_image, mean_image]")


# Provenance and seeds


def test_what_numbers_are_of(data: Path, places: Places, lpips: Lpips) -> None:
    measure_baselines(data, "frames", ["identity", "gamma"], places, lpips)
    about = json.loads((places.measured / "provenance.json").read_text())
    assert (about["kind"], about["dataset"], about["cases"]) == (
        "frames",
        "mine",
        [f"{level}/{name}" for level in LEVELS for name in ("identity", "gamma")],
    )
    tars = [outputs.sha256(path) for path in sorted((data / "images").glob("test-*.tar"))]
    assert about["images"] == outputs.digest(tars)
    assert about["observations"] == {
        level: outputs.digest([outputs.sha256(data / "frames" / level / "test-000000.tar")]) for level in LEVELS
    }
    assert about["lpips"] == lpips.weights
    assert about["seeds"] == []
    assert set(about["metrics"]) == {*lines_of(places, "mild/gamma")[0]} - {"key", "image", "group"}
    assert about["metrics"]["psnr"] == "RGB in [0, 1], an image at a time, at most 100 dB"


def lines_of(places: Places, case: str, name: str = "images.csv") -> list[dict[str, str]]:
    return rebuilt.lines(places.measured / case / name)


def test_test_observations_are_told_apart(data: Path, tmp_path: Path) -> None:
    """By the masks, frames or layers themselves, not by their names."""
    holes = observed("holes").model_copy(update={"seed": 5})
    rows.written(holes, "mine", data / "images", tmp_path / "holes")
    again = rows.written(observed("holes"), "other", data / "images", tmp_path / "again")
    store = evaluating.importlib.import_module("afterimage.observations.holes.store")
    mine, moved, same = (
        store.Stored(folder, data / "images", {}).test_hash("test")
        for folder in (data / "holes", tmp_path / "holes", again)
    )
    assert mine == same != moved
    features = stored(data, "features")
    first = features.test_hash("test")
    features.indices[0]["weights"] = "others"
    assert features.test_hash("test") != first


def test_several_seeds_are_means_and_a_table_of_each(data: Path, places: Places, tmp_path: Path, lpips: Lpips) -> None:
    known = [Knowing(data, darker=darker) for darker in (2, 8)]
    mine, given = row("holes"), stored(data, "holes")
    each = {"": known[0]}
    evaluating.evaluate_row(mine, each, given, places, rebuilt.METRICS, lpips, [3, 5], [{"": known[1]}])
    alone = []
    for number, one in enumerate(known):
        there = Places(*(tmp_path / f"alone{number}-{path.name}" for path in places))
        evaluating.evaluate_row(mine, {"": one}, given, there, rebuilt.METRICS, lpips, [3])
        alone.append(lines_of(there, "test"))
        assert not (there.measured / "test/seeds.csv").exists()
    by_seed, means = lines_of(places, "test", "seeds.csv"), lines_of(places, "test")
    keys = [line["key"] for line in means]
    assert [(line["seed"], line["key"]) for line in by_seed] == [(seed, key) for seed in "35" for key in keys]
    for name in ("psnr", "hole_rmse", "lpips_untrained", "bits"):
        values = [[float(line[name]) for line in lines] for lines in alone]
        assert [float(line[name]) for line in by_seed] == pytest.approx([*values[0], *values[1]])
        assert [float(line[name]) for line in means] == pytest.approx(np.mean(values, axis=0), rel=1e-5)
        assert intervals(places, "test")[name]["mean"] == pytest.approx(np.mean(values), rel=1e-5)
    spread = intervals(places, "test")["bits"]
    assert spread["high"] - spread["low"] > 4  # from both seeds as the first to both as the second: 6 levels apart
    assert json.loads((places.measured / "provenance.json").read_text())["seeds"] == [3, 5]
    first = answers(places, "test")
    other = shards.read(places.reconstructions / "test/seeds/5", "test")
    assert all((first[key].astype(int) - np.asarray(decode(png)) >= 0).all() for key, png, _ in other)
