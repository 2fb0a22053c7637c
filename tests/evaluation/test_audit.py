"""Numbers that their images contradict are refused, and the constant that would explain them is named."""

import json
from pathlib import Path
from typing import Any

import measured
import numpy as np
import pytest

from afterimage.core import layout, outputs, shards
from afterimage.core.errors import MetricError
from afterimage.core.images import decode
from afterimage.evaluation import audit, metrics
from afterimage.evaluation.results import Result

KEYS = measured.KEYS
RESULT = Result("frames", "row", "test")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of 16 px, what a row makes of them, and its true numbers."""
    monkeypatch.chdir(tmp_path)
    measured.images(layout.shards("photos"), KEYS)
    measured.images(layout.reconstructions("row") / "test", KEYS, seed=3)
    tell()


def stacks() -> tuple[np.ndarray, np.ndarray]:
    tables = [shards.Table(place, "test") for place in (layout.shards("photos"), RESULT.reconstructions)]
    first, second = (
        np.stack([np.asarray(decode(table.bytes(n))) for n in range(len(table))]).astype(np.uint8) for table in tables
    )
    return first, second


def tell(psnr: Any = metrics.psnr, ssim: Any = metrics.ssim, mean: float = 0.0, seeds: int = 0) -> None:
    """Write what some functions make of the images; `mean` is added to the means."""
    truth, found = stacks()
    columns = {"psnr": psnr(truth, found), "ssim": ssim(truth, found)}
    lines = [[key, key, key[:3], *(f"{values[n]:.6g}" for values in columns.values())] for n, key in enumerate(KEYS)]
    outputs.write_csv(RESULT.folder / "images.csv", ["key", "image", "group", *columns], lines)
    if seeds:
        lines = [
            [str(seed), key, *(f"{values[n] - seed:.6g}" for values in columns.values())]
            for seed in range(seeds)
            for n, key in enumerate(KEYS)
        ]
        outputs.write_csv(RESULT.folder / "seeds.csv", ["seed", "key", *columns], lines)
    means = {name: float(f"{np.mean(values) + mean:.6g}") for name, values in columns.items()}
    intervals = {name: {"mean": each, "low": each, "high": each} for name, each in means.items()}
    outputs.write_json(RESULT.folder / "intervals.json", {"images": len(KEYS), "metrics": intervals})
    outputs.write_json(layout.metrics("frames", "row") / "test.json", means)


def check() -> None:
    audit.check(Result("frames", "row", "test"), shards.Table(layout.shards("photos"), "test"))


def refused() -> str:
    with pytest.raises(MetricError) as caught:
        check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_true_numbers_pass() -> None:
    check()


def test_identical_images_pass() -> None:
    measured.images(layout.reconstructions("row") / "test", KEYS)
    tell()
    assert float(RESULT.images[KEYS[0]]["psnr"]) == metrics.PSNR_CAP
    check()


def test_the_images_are_those_of_the_first_seed() -> None:
    tell(seeds=2)
    lines = (RESULT.folder / "images.csv").read_text().splitlines()
    table = [line.split(",") for line in lines]  # means over seeds are not what the images of any one have
    lower = [[*line[:3], f"{float(line[3]) - 0.5:.6g}", f"{float(line[4]) - 0.5:.6g}"] for line in table[1:]]
    outputs.write_csv(RESULT.folder / "images.csv", table[0], lower)
    means = {name: float(np.mean([float(line[place]) for line in lower])) for place, name in ((3, "psnr"), (4, "ssim"))}
    intervals = {name: {"mean": each, "low": each, "high": each} for name, each in means.items()}
    outputs.write_json(RESULT.folder / "intervals.json", {"images": len(KEYS), "metrics": intervals})
    outputs.write_json(layout.metrics("frames", "row") / "test.json", means)
    check()


def test_psnr_of_another_range_is_named() -> None:
    tell(psnr=lambda truth, found: metrics.psnr(truth, found) + 20 * np.log10(2))
    text = refused()
    assert text.startswith("reports/measured/row/test: PSNR of `cup_y0000` is ")
    assert "from its 8-bit pixels of range 255; " in text
    assert text.endswith(" is of a data range of 510")


@pytest.mark.parametrize("data_range", [510.0, 1.0, 255**2])
def test_ssim_of_another_range_is_named(data_range: float) -> None:
    from skimage.metrics import structural_similarity

    def ssim(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
        options = {**metrics.SSIM, "data_range": data_range}
        pairs = zip(truth.astype(float), found.astype(float), strict=True)
        return np.array([structural_similarity(a, b, channel_axis=-1, **options) for a, b in pairs])

    tell(ssim=ssim)
    assert f"is of a data range of {data_range:g}" in refused()


def test_numbers_of_other_images_are_named() -> None:
    tell(ssim=lambda truth, found: metrics.ssim(truth, found) * 0.9 + 0.05)
    assert refused().endswith("is of other images")


@pytest.mark.parametrize("altered", ["intervals", "headline"])
def test_a_mean_that_is_not_that_of_its_images_is_named(altered: str) -> None:
    path = RESULT.folder / "intervals.json" if altered == "intervals" else layout.metrics("frames", "row") / "test.json"
    data = json.loads(path.read_text())
    if altered == "intervals":
        data["metrics"]["psnr"]["mean"] += 1
    else:
        data["psnr"] += 1
    outputs.write_json(path, data)
    assert "the mean psnr of test is" in refused()
    assert str(path.parent) in refused()


def test_a_project_is_checked_row_by_row_and_baseline_by_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    from afterimage import report

    measured.params(
        observations={"cctv": {"kind": "frames", "dataset": "photos", "path": "x", "levels": {"mild": []}}},
        reconstructors={"toy": measured.outside("frames", "cctv")},
        baselines={"frames": ["identity"]},
    )
    measured.result("frames", "toy", "mild", 20.0)
    measured.result("frames", "cctv", "mild/identity", 18.0)
    seen: list[str] = []
    monkeypatch.setattr(audit, "check", lambda result, originals: seen.append(result.name))
    report.check(report.Project.read(Path("params.yaml")))
    assert seen == ["toy/mild", "cctv/mild/identity"]
