"""Six ways to a number that means nothing, each planted in a small project: a gate refuses it, or the report says so.

docs/honesty.md tells where each comes from.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pages
import pictures
import pytest
from conftest import Project
from PIL import Image, ImageOps

from afterimage.validation import suites

DATA = ("data", ".git", ".dvc", ".afterimage", "metrics", "reports")
PAIRS = {"input": "(.*)_real", "target": "(.*)_mean"}
SCENES = [pictures.noise(64, 64, seed, detail=4) for seed in range(24)]


def files(named: dict[str, Image.Image]) -> dict[str, bytes]:
    return {f"{name}.png": pictures.encoded(image) for name, image in named.items()}


def paired(inputs: list[Image.Image]) -> dict[str, bytes]:
    """Inputs and targets, joined by their numbers."""
    targets = files({f"{number:02d}_mean": scene for number, scene in enumerate(SCENES)})
    return targets | files({f"{number:02d}_real": image for number, image in enumerate(inputs)})


def leaked(copied: Image.Image) -> dict[str, bytes]:
    """Splits by folder; one of the test images was made from a training image."""
    splits = {"train": SCENES[:6], "val": SCENES[6:8], "test": SCENES[8:10]}
    named = {f"{split}/{number}": scene for split, scenes in splits.items() for number, scene in enumerate(scenes)}
    return files({**named, "test/x": copied})


GATED: dict[str, tuple[dict[str, bytes], str]] = {
    "target equals input": (
        paired([*map(pictures.bad, SCENES[:5]), SCENES[5], *map(pictures.bad, SCENES[6:])]),
        r'"no input is its own target: something happened to each": input 05_real, target 05_mean.*; 23 of 24 pairs',
    ),
    "pairs joined by their order": (
        paired([pictures.bad(SCENES[place]) for place in sorted(range(24), key=str)]),
        r'"no input looks far more like the target of another pair .*": closer_to 10_mean, key 02_real, target 02_mean',
    ),
    "training image among the test images": (
        leaked(SCENES[1]),
        r'"no image is in two splits, pixel for pixel": found_in test-\d+.tar/test--x.* and train-\d+.tar/train--1',
    ),
    "re-encoded": (
        leaked(Image.eval(SCENES[1], lambda value: value // 16 * 16)),
        r'"no image of val or test is a copy of one .*": copy_of train--1 \(train\), key test--x, split test',
    ),
    "resized": (leaked(SCENES[2].resize((40, 40))), r".*: copy_of train--2 \(train\), key test--x, split test"),
    "mirrored": (
        leaked(ImageOps.mirror(SCENES[3])),
        r".*: copy_of train--3 \(train, mirrored\), key test--x, split test",
    ),
}


def planted(project: Project, root: Path, images: dict[str, bytes], **settings: Any) -> Project:
    """A copy of the project whose data set is a folder of images."""
    copy = project.copy(root / "copy", without=DATA)
    pictures.folder(copy.root / "pictures", images)
    row = {"source": "folder", "path": "pictures", "size": 32, "group": "image", "max_rejected": 0.0}
    pairs = {"pairs": PAIRS} if any("_real" in name for name in images) else {}
    copy.params(lambda params: params["datasets"].update(photos={**row, **pairs, **settings}))
    copy.stage("fetch", "photos")
    copy.stage("shard", "photos")
    return copy


@pytest.mark.parametrize("name", GATED)
def test_a_gate_refuses_the_data(name: str, project: Project, tmp_path: Path) -> None:
    images, line = GATED[name]
    copy = planted(project, tmp_path, images)
    said = copy.stage("validate", "photos", status=1).splitlines()[-1]
    assert re.match(r"validate@photos: photos: \d of \d+ checks failed, first ", said), said
    every = json.loads((copy.root / ".afterimage/validation/photos.json").read_text(encoding="utf-8"))["checks"]
    failed = [suites.described(check) for check in every if not check["passed"]]
    assert any(re.match(line, each) for each in failed), failed
    assert not (copy.root / "reports/validation/photos.json").exists()


def test_copies_that_are_allowed_pass(project: Project, tmp_path: Path) -> None:
    copy = planted(project, tmp_path, GATED["mirrored"][0], max_copies=0.2)
    copy.stage("validate", "photos")


def edited(project: Project, name: str, old: str, new: str) -> None:
    path = project.root / "src/afterimage" / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_answers_in_another_range_than_the_originals_are_refused(project: Project, tmp_path: Path) -> None:
    copy = project.copy(tmp_path / "copy", without=(".git", ".dvc"))
    edited(
        copy,
        "reconstructors/decoder/network.py",
        "return image if self.training else image.clamp(0, 1)",
        "return 2 * image - 1",
    )
    said = copy.stage("evaluate", "small-relu", status=1).splitlines()[-1]
    line = (
        r"evaluate@small-relu: test: answers with samples between -\d.*, on average 0\.\d+ outside .*; expected 0 to 1"
    )
    assert re.fullmatch(line, said), said
    assert (copy.root / "metrics/features/small-relu/test.json").read_bytes() == (
        project.root / "metrics/features/small-relu/test.json"
    ).read_bytes()


RANGES: dict[str, Callable[[Project], None]] = {
    r"SSIM of `.*` is .*; .* is of a data range of 510": lambda copy: edited(
        copy, "evaluation/metrics.py", '"data_range": 1}', '"data_range": 2}'
    ),
    r"PSNR of `.*` is .*; .* is of a data range of 510": lambda copy: edited(
        copy, "evaluation/metrics.py", "-10 * np.log10(np.maximum(errors, least))", "-10 * np.log10(errors / 4)"
    ),
}


@pytest.mark.parametrize("line", RANGES)
def test_metrics_of_a_wrong_range_stop_the_report(line: str, project: Project, tmp_path: Path) -> None:
    copy = project.copy(tmp_path / "copy", without=(".git", ".dvc"))
    RANGES[line](copy)
    copy.stage("evaluate", "small-relu")
    said = copy.stage("report", status=1).splitlines()
    assert len(said) == 1
    assert re.fullmatch(rf"report: reports/measured/small-relu/test: {line}", said[0]), said


def test_a_gain_that_a_tone_curve_has_is_not_claimed(project: Project, tmp_path: Path) -> None:
    """Frames that one curve darkened, and a restorer that was hardly trained: to invert the curve gains more."""
    copy = project.copy(tmp_path / "copy", without=(".git", ".dvc"))
    dark = [{"step": "low_light", "gamma": [1.5, 1.5], "exposure": [0.7, 0.7]}]

    def darkened(params: dict[str, Any]) -> None:
        params["observations"]["photos-cctv"]["levels"] = {"dark": dark}
        params["reconstructors"]["photos-nafnet"].update(levels=["dark"])
        params["baselines"]["frames"] = ["identity", "tone"]

    copy.params(darkened)
    copy.stage("observe", "photos-cctv")
    copy.stage("train", "photos-nafnet")
    copy.stage("evaluate", "photos-nafnet")
    copy.stage("baseline", "photos-cctv")
    copy.stage("report")
    page = pages.seen((copy.root / "reports/index.html").read_text(encoding="utf-8"))
    assert "Not claimed: tone alone, fitted on training pairs, gains as much over the frames" in page
