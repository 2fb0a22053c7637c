"""Evaluation joins by key, measures what it should, and names what does not fit."""

import csv
import hashlib
import io
import json
import runpy
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from afterimage.core.errors import ImageError, MetricError, ShardError
from afterimage.evaluation import evaluating as evaluation
from afterimage.evaluation.evaluating import evaluate
from afterimage.evaluation.metrics import PSNR_CAP, Lpips, MetricsRow, bootstrap, write_lpips_weights

ROOT = Path(__file__).parent.parent
ROW = MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=100)
KEYS = [f"photo{i // 4}_y{i % 4:04d}" for i in range(12)]  # three photographs of four tiles each


def images(seed: int, count: int = 12, side: int = 32) -> list[np.ndarray]:
    corners = np.random.default_rng(seed).integers(0, 512 - side, size=(count, 2))
    return [astronaut()[y : y + side, x : x + side] for y, x in corners]


def write_shards(folder: Path, samples: list[tuple[str, bytes]], split: str = "test") -> Path:
    """A folder of image shards by the format's description, faults of its samples included."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{split}-000000.tar"
    with tarfile.open(folder / name, "w") as tar:
        for key, data in samples:
            member = tarfile.TarInfo(f"{key}.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    data = (folder / name).read_bytes()
    shard = {
        "name": name,
        "samples": len(samples),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    path = folder / "index.json"
    splits = json.loads(path.read_text())["splits"] if path.exists() else {}
    splits[split] = {"samples": len(samples), "shards": [shard]}
    path.write_text(json.dumps({"dataset": "photos", "size": 32, "splits": splits}))
    table = folder / "samples.csv"
    if not table.exists():
        table.write_text("key,split,shard,image,group\n")
    with table.open("a") as stream:
        stream.writelines(f"{key},{split},{name},{key[:6]},{key[:6]}\n" for key, _ in samples)
    return folder


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def pngs(arrays: list[np.ndarray]) -> list[tuple[str, bytes]]:
    return [(key, png(image)) for key, image in zip(KEYS, arrays, strict=True)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lpips-alexnet.safetensors"
    write_lpips_weights(ROW, path)
    return path


@pytest.fixture(scope="module")
def lpips(weights) -> Lpips:
    return Lpips(weights)


@pytest.fixture
def originals(tmp_path) -> Path:
    write_shards(tmp_path / "shards", [("train0", png(images(9, 1)[0]))], "train")
    return write_shards(tmp_path / "shards", pngs(images(0)))


def read(out: Path) -> tuple[dict, dict, list[dict[str, str]]]:
    with (out / "images.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    return json.loads((out / "summary.json").read_text()), json.loads((out / "intervals.json").read_text()), lines


def test_a_perfect_reconstruction(originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(0)))
    evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)
    summary, intervals, lines = read(tmp_path / "out")
    assert summary == {"images": 12, "mse": 0, "psnr": PSNR_CAP, "ssim": 1, "lpips_untrained": 0}
    assert intervals["psnr"] == {"mean": PSNR_CAP, "low": PSNR_CAP, "high": PSNR_CAP}
    assert [line["key"] for line in lines] == KEYS


def test_some_of_the_samples(originals, lpips, tmp_path):
    chosen = [KEYS[7], KEYS[2]]
    rebuilt = write_shards(tmp_path / "rebuilt", [pair for pair in pngs(images(0)) if pair[0] in chosen])
    evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips, chosen)
    summary, _, lines = read(tmp_path / "out")
    assert summary["images"] == 2
    assert [line["key"] for line in lines] == sorted(chosen)
    with pytest.raises(ShardError, match="has no test sample `nobody`"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips, [*chosen, "nobody"])
    with pytest.raises(ShardError, match=f"`{KEYS[0]}` and 9 more are missing"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)


def test_numbers_that_a_reconstructor_measured_itself(originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(0)))
    lines = [f"{key},{number / 4}" for number, key in enumerate(KEYS)]
    (rebuilt / "values.csv").write_text("\n".join(["key,bits_per_dim", *reversed(lines)]) + "\n")
    evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)
    summary, intervals, table = read(tmp_path / "out")
    assert summary["bits_per_dim"] == intervals["bits_per_dim"]["mean"] == 1.375
    assert [line["bits_per_dim"] for line in table][:3] == ["0", "0.25", "0.5"]
    (rebuilt / "values.csv").write_text("\n".join(["key,bits_per_dim", *lines[1:]]) + "\n")
    with pytest.raises(ShardError, match=f"`{KEYS[0]}` is in this table or among the test samples, but not in both"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)


def test_a_known_offset(lpips, tmp_path):
    grey = [np.full((32, 32, 3), 100, np.uint8)] * 12
    brighter = [image + np.uint8(i) for i, image in enumerate(grey)]
    originals = write_shards(tmp_path / "shards", pngs(grey))
    evaluate(write_shards(tmp_path / "rebuilt", pngs(brighter)), originals, tmp_path / "out", ROW, lpips)
    summary, intervals, lines = read(tmp_path / "out")
    exact = (np.arange(12) / 255) ** 2
    assert [float(line["mse"]) for line in lines] == pytest.approx(exact, rel=1e-5)
    assert summary["mse"] == float(f"{exact.mean():.6g}")
    expected = bootstrap(exact, [key[:6] for key in KEYS], samples=100, seed=0)
    assert intervals["mse"] == pytest.approx(expected._asdict(), rel=1e-5)
    assert intervals["mse"]["low"] < summary["mse"] < intervals["mse"]["high"]
    assert [line["group"] for line in lines] == [line["image"] for line in lines] == [key[:6] for key in KEYS]


def test_the_join_is_by_key_and_not_by_place(originals, lpips, tmp_path):
    rebuilt = pngs(images(1))
    evaluate(write_shards(tmp_path / "a", rebuilt), originals, tmp_path / "out-a", ROW, lpips)
    evaluate(write_shards(tmp_path / "b", rebuilt[::-1]), originals, tmp_path / "out-b", ROW, lpips)
    (_, _, a), (_, _, b) = read(tmp_path / "out-a"), read(tmp_path / "out-b")
    assert len({line["mse"] for line in a}) == 12
    assert [line["key"] for line in a] == [line["key"] for line in b] == KEYS
    for name in ("mse", "psnr", "ssim", "lpips_untrained"):
        np.testing.assert_allclose([float(x[name]) for x in a], [float(x[name]) for x in b], rtol=1e-5)


def test_batches_change_nothing_and_runs_are_the_same_bytes(originals, lpips, tmp_path, monkeypatch):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(1)))
    evaluate(rebuilt, originals, tmp_path / "once", ROW, lpips)
    evaluate(rebuilt, originals, tmp_path / "twice", ROW, lpips)
    monkeypatch.setattr(evaluation, "BATCH", 5)
    evaluate(rebuilt, originals, tmp_path / "fives", ROW, lpips)
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
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)
    assert str(rebuilt) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_samples_to_compare_with(originals, lpips, tmp_path):
    rebuilt = write_shards(tmp_path / "rebuilt", pngs(images(1)))
    table = originals / "samples.csv"
    whole = table.read_text()
    table.write_text(whole.replace(",test,", ",val,"))
    with pytest.raises(ShardError, match=r"samples\.csv: has no test samples"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)
    table.write_text(whole.replace("group", "person", 1))
    with pytest.raises(ShardError, match=r"samples\.csv: has no column 'group'"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)
    table.write_text(whole.replace("photo1_y0000", "photo1_y9999"))
    with pytest.raises(ShardError, match=r"`photo1_y9999` is in samples\.csv, but not in the test shards"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)
    table.unlink()
    with pytest.raises(ShardError, match=r"samples\.csv: there is no such table"):
        evaluate(rebuilt, originals, tmp_path / "out", ROW, lpips)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project of six training tiles, twelve test tiles, and a decoder that returns these as they are."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(
        "metrics: {lpips_weights: random, lpips_sha256: null, seed: 0, bootstrap: 50}\n"
        "baselines:\n  photos: {dataset: photos, methods: [mean_colour, mean_image]}\n"
    )
    shards = Path("data/shards/photos")
    write_shards(shards, [(f"train{i}", png(image)) for i, image in enumerate(images(9, 6))], "train")
    write_shards(shards, pngs(images(0)))
    write_shards(Path("data/reconstructions/decoders/mine"), pngs(images(0)))
    return tmp_path


@pytest.fixture
def stage(project, monkeypatch) -> Callable[..., str | None]:
    """Run a stage as DVC does, but in this process, where torch is imported; returns its message, if it fails."""

    def run(name: str, *words: str) -> str | None:
        path = str(ROOT / "stages" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *words])
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as end:
            return str(end.code)
        return None

    return run


def test_the_stages_from_weights_to_metrics(stage):
    assert stage("weights_lpips") is None
    assert stage("baseline", "photos") is None
    assert stage("evaluate", "decoders", "mine") is None
    found = {path.parent.name: json.loads(path.read_text()) for path in Path("metrics").rglob("summary.json")}
    assert sorted(found) == ["mean_colour", "mean_image", "mine"]
    assert found["mine"]["psnr"] == PSNR_CAP
    assert 5 < found["mean_image"]["psnr"] < found["mean_colour"]["psnr"] < 30
    assert {summary["images"] for summary in found.values()} == {12}
    # What the baseline stage wrote is measured the same by the stage that measures all others
    table = Path("metrics/baselines/photos/mean_image/images.csv")
    before = table.read_bytes()
    table.unlink()
    assert stage("evaluate", "baselines", "photos/mean_image") is None
    assert table.read_bytes() == before


def test_faults_of_the_stages_are_one_line(project, stage):
    text = stage("baseline", "faces")
    assert text == "baseline@faces: params.yaml: `baselines` has no row `faces`; it has photos"
    text = stage("baseline", "photos")
    assert text.startswith("baseline@photos: data/weights/lpips-alexnet.safetensors: ")
    text = stage("evaluate", "decoders", "none")
    assert text.startswith("evaluate@decoders@none: data/reconstructions/decoders/none/index.json: ")
    assert "\n" not in text
    # and from the command line it is all that is said
    command = [sys.executable, str(ROOT / "stages/evaluate.py"), "decoders", "none"]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"{text}\n")
