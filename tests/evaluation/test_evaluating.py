"""Measuring joins by key, measures what it should, and names what does not fit."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rebuilt import KEYS, METRICS, images, lines, png, pngs, write_shards

from afterimage.core.errors import ImageError, MetricError, ShardError
from afterimage.evaluation import evaluating, frames
from afterimage.evaluation.evaluating import Places, Rebuilt, measure_folder
from afterimage.evaluation.metrics import PSNR_CAP, Lpips, bootstrap


@pytest.fixture
def originals(tmp_path: Path) -> Path:
    write_shards(tmp_path / "shards", [("train0", png(images(9, 1)[0]))], "train")
    return write_shards(tmp_path / "shards", pngs(images(0)))


def measure(rebuilt: Path, originals: Path, out: Path, lpips: Lpips, keys: Any = None, own: Any = None) -> None:
    stored: Any = SimpleNamespace(shards_dir=originals)
    places = Places(rebuilt, out, out / "summary.json")
    measure_folder(places, stored, frames, METRICS, lpips, None, keys, [Rebuilt(rebuilt, own)])  # type: ignore[arg-type]


def read(out: Path) -> tuple[dict[str, float], dict[str, Any], list[dict[str, str]]]:
    """Headline means, all means with their intervals, and the lines of the images."""
    intervals = json.loads((out / "intervals.json").read_text())
    table = lines(out / "images.csv")
    assert intervals["images"] == len(table)
    return json.loads((out / "summary.json").read_text()), intervals["metrics"], table


def test_a_perfect_reconstruction(originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(0)))
    measure(rebuilt, originals, tmp_path / "out", lpips)
    summary, intervals, table = read(tmp_path / "out")
    assert summary == {"psnr": PSNR_CAP, "ssim": 1, "mse": 0, "lpips_untrained": 0}
    assert intervals["psnr"] == {"mean": PSNR_CAP, "low": PSNR_CAP, "high": PSNR_CAP}
    assert [line["key"] for line in table] == KEYS


def test_some_of_the_samples(originals, lpips, tmp_path):
    chosen = [KEYS[7], KEYS[2]]
    rebuilt = write_shards(tmp_path / "rebuilt", [pair for pair in pngs(images(0)) if pair[0] in chosen])
    measure(rebuilt, originals, tmp_path / "out", lpips, chosen)
    _, _, table = read(tmp_path / "out")
    assert [line["key"] for line in table] == sorted(chosen)
    with pytest.raises(ShardError, match="has no test sample `nobody`"):
        measure(rebuilt, originals, tmp_path / "out", lpips, [*chosen, "nobody"])
    with pytest.raises(ShardError, match=f"`{KEYS[0]}` and 9 more are missing"):
        measure(rebuilt, originals, tmp_path / "out", lpips)


def test_numbers_that_a_reconstructor_measured_itself(originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(0)))
    told = {"key": np.array(KEYS[::-1]), "bits": np.arange(12)[::-1] / 4}
    measure(rebuilt, originals, tmp_path / "out", lpips, own=told)
    summary, intervals, table = read(tmp_path / "out")
    assert "bits" not in summary  # which is none of the headline of frames
    assert intervals["bits"]["mean"] == 1.375
    assert [line["bits"] for line in table][:3] == ["0", "0.25", "0.5"]


def test_a_known_offset(lpips, tmp_path):
    grey = [np.full((32, 32, 3), 100, np.uint8)] * 12
    brighter = [image + np.uint8(i) for i, image in enumerate(grey)]
    originals = write_shards(tmp_path / "shards", pngs(grey))
    measure(write_shards(tmp_path / "rebuilt", pngs(brighter)), originals, tmp_path / "out", lpips)
    summary, intervals, table = read(tmp_path / "out")
    exact = (np.arange(12) / 255) ** 2
    assert [float(line["mse"]) for line in table] == pytest.approx(exact, rel=1e-5)
    assert summary["mse"] == float(f"{exact.mean():.6g}")
    expected = bootstrap(exact, [key[:6] for key in KEYS], samples=100, seed=0)
    assert intervals["mse"] == pytest.approx(expected._asdict(), rel=1e-5)
    assert intervals["mse"]["low"] < summary["mse"] < intervals["mse"]["high"]
    assert [line["group"] for line in table] == [line["image"] for line in table] == [key[:6] for key in KEYS]


def test_the_join_is_by_key_and_not_by_place(originals, lpips, tmp_path):
    rebuilt = pngs(images(1))
    measure(write_shards(tmp_path / "a", rebuilt), originals, tmp_path / "out-a", lpips)
    measure(write_shards(tmp_path / "b", rebuilt[::-1]), originals, tmp_path / "out-b", lpips)
    (_, _, a), (_, _, b) = read(tmp_path / "out-a"), read(tmp_path / "out-b")
    assert len({line["mse"] for line in a}) == 12
    assert [line["key"] for line in a] == [line["key"] for line in b] == KEYS
    for name in ("mse", "psnr", "ssim", "lpips_untrained"):
        np.testing.assert_allclose([float(x[name]) for x in a], [float(x[name]) for x in b], rtol=1e-5)


def test_batches_change_nothing_and_runs_are_the_same_bytes(originals, lpips, tmp_path, monkeypatch):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(1)))
    measure(rebuilt, originals, tmp_path / "once", lpips)
    measure(rebuilt, originals, tmp_path / "twice", lpips)
    monkeypatch.setattr(evaluating, "BATCH", 5)
    measure(rebuilt, originals, tmp_path / "fives", lpips)
    names = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert names == ["images.csv", "intervals.json", "summary.json"]
    for name in names:
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()
    (a, _, _), (b, _, _) = read(tmp_path / "once"), read(tmp_path / "fives")
    assert a["mse"] > 0
    assert a == pytest.approx(b, abs=1e-6, rel=1e-6)


def faulty(change: str) -> list[tuple[str, bytes]]:
    samples = pngs(images(1))
    if change == "missing":
        return samples[:4] + samples[5:]
    if change == "two missing":
        return samples[:4] + samples[6:]
    if change == "extra":
        return [*samples, ("photo9_y0000", samples[0][1])]
    if change == "doubled":
        return [*samples, samples[4]]
    if change == "small":
        return [*samples[:4], (KEYS[4], png(images(1, side=16)[4])), *samples[5:]]
    return [*samples[:4], (KEYS[4], samples[4][1][:200]), *samples[5:]]  # truncated


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("missing", ShardError, "`photo1_y0000` is missing"),
        ("two missing", ShardError, "`photo1_y0000` and 1 more are missing"),
        ("extra", ShardError, "`photo9_y0000` is no test sample"),
        ("doubled", ShardError, "photo1_y0000.*twice"),
        ("small", MetricError, "`photo1_y0000` is 16 x 16 px, its original 32 x 32 px"),
        ("truncated", ImageError, "photo1_y0000.*(damaged|trunc)"),
    ],
)
def test_what_does_not_fit_is_named(change, error, message, originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", faulty(change))
    with pytest.raises(error, match=message) as caught:
        measure(rebuilt, originals, tmp_path / "out", lpips)
    assert str(rebuilt) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_samples_to_compare_with(originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(1)))
    table = originals / "samples.csv"
    whole = table.read_text()
    table.write_text(whole.replace(",test,", ",val,"))
    with pytest.raises(ShardError, match=r"samples\.csv: has no test samples"):
        measure(rebuilt, originals, tmp_path / "out", lpips)
    table.write_text(whole.replace("group", "person", 1))
    with pytest.raises(ShardError, match=r"samples\.csv: no column group; there are key, split"):
        measure(rebuilt, originals, tmp_path / "out", lpips)
    table.write_text(whole.replace("photo1_y0000", "photo1_y9999"))
    with pytest.raises(ShardError, match=r"`photo1_y9999` is in samples\.csv, but not in the test shards"):
        measure(rebuilt, originals, tmp_path / "out", lpips)
    table.unlink()
    with pytest.raises(ShardError, match=r"samples\.csv: there is no such table"):
        measure(rebuilt, originals, tmp_path / "out", lpips)
