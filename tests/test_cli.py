import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pictures
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from afterimage import apply, layout, outputs, weights
from afterimage.apply import decoders
from afterimage.apply.decoders import DecoderRow
from afterimage.cli import main
from afterimage.errors import WeightsError
from afterimage.observations.encoders import trunk
from afterimage.reconstructors.decoder import Decoder, Tap

PARAMS = """
decoders:
  mine: {encoder: vgg11, layers: [relu1_1, relu2_1], arch: upconv}
  other: {encoder: vgg11, layers: [relu2_1], arch: light}
baselines:
  photos: {dataset: photos, methods: [mean_colour]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one trained row; its decoder is as its initialisation left it."""
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text(PARAMS)
    weights.save(root / layout.weights("vgg11"), trunk("vgg11", "random", 0, None), {"origin": "random, seed 0"})
    taps = [Tap("relu1_1", (64, 32, 32)), Tap("relu2_1", (128, 16, 16))]
    torch.manual_seed(0)
    model = root / layout.model("decoders", "mine")
    weights.save(model / "model.safetensors", Decoder("upconv", 8, taps, 32).state_dict(), {"row": "mine"})
    card = {
        "arch": "upconv",
        "width": 8,
        "encoder": "vgg11",
        "encoder_arch": "vgg11",
        "weights_origin": "random, seed 0",
        "size": 32,
        "taps": [{"layer": tap.layer, "shape": list(tap.shape)} for tap in taps],
    }
    outputs.write_json(model / "card.json", card)
    numbers = {"images": 3, "psnr": 25.123456, "ssim": 0.8, "mse": 0.003, "lpips_untrained": 0.2}
    outputs.write_json(root / layout.metrics("decoders", "mine") / "summary.json", numbers)
    outputs.write_json(root / layout.metrics("baselines", "photos/mean_colour") / "summary.json", numbers)
    return root


def call(*words: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    code = done.exit_code if isinstance(done.exit_code, int) else 1
    return code, done.stdout, done.stderr + (str(done.exception) if isinstance(done.exception, SystemExit) else "")


def test_help_imports_nothing_heavy() -> None:
    started = time.monotonic()
    program = "import sys; from afterimage.cli import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "reconstruct" in done.stdout
    for heavy in ("'torch'", "'numpy'", "'PIL'", "'pydantic'", "'matplotlib'"):
        assert heavy not in done.stdout
    assert time.monotonic() - started < 60  # a hung import, not a slow machine


def test_rows_lists_what_is_trained_and_the_baselines(project: Path) -> None:
    code, text, _ = call("rows", "--project", project)
    assert code == 0
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert "vgg11 relu1_1 + relu2_1" in lines["mine"]
    assert "25.12" in lines["mine"]
    assert " no " in lines["other"]
    assert "baseline" in lines["photos/mean_colour"]


@pytest.mark.parametrize("size", [(32, 32), (61, 45), (700, 40)])
def test_reconstruct_takes_any_size_and_keeps_it(project: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "my photo é.png"
    pictures.noise(*size).save(source)
    code, text, error = call("reconstruct", "mine", source, "--project", project, "--out", tmp_path / "out")
    assert (code, error) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "my photo é-mine-comparison.png",
        "my photo é-mine.png",
    ]
    result = Image.open(tmp_path / "out/my photo é-mine.png")
    assert (result.size, result.mode) == (size, "RGB")
    truth, found = (np.asarray(image.convert("RGB"), dtype=float) / 255 for image in (Image.open(source), result))
    psnr = -10 * np.log10(np.square(truth - found).mean())
    assert f"{psnr:.2f} dB" in text


def test_tiles_leave_no_seams(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = DecoderRow(project, "mine")
    image = pictures.noise(300, 200, seed=4)
    whole = np.asarray(network(image), dtype=int)
    monkeypatch.setattr(decoders, "TILE", 128)
    assert np.abs(np.asarray(network(image), dtype=int) - whole).max() <= 1


def test_one_bad_file_is_named_and_the_others_go_on(project: Path, tmp_path: Path) -> None:
    files = {
        "text.jpg": b"hello",
        "empty.png": b"",
        "cut.jpg": pictures.truncated(),
        "bomb.png": pictures.bomb(),
        "small.png": pictures.png(20, 40),
        "good.png": pictures.png(40, 40),
    }
    pictures.folder(tmp_path, files)
    names = [tmp_path / name for name in (*files, "gone.png")]
    code, text, error = call("reconstruct", "mine", *names, "--project", project, "--out", tmp_path / "out")
    assert code == 1
    for name, reason in {
        "text.jpg": "not an image in a known format",
        "empty.png": "the file is empty",
        "cut.jpg": "damaged image",
        "bomb.png": "30000 x 30000 px are more than",
        "small.png": "20 x 40 px; expected at least 32 px a side",
        "gone.png": "No such file or directory",
    }.items():
        assert f"{tmp_path / name}: {reason}" in error
    assert "6 of 7 images could not be read" in error
    assert "Traceback" not in error
    assert "good.png: " in text
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_unknown_and_untrained_rows_are_named(project: Path, tmp_path: Path) -> None:
    pictures.folder(tmp_path, {"a.png": pictures.png()})
    code, _, error = call("reconstruct", "nobody", tmp_path / "a.png", "--project", project)
    assert (code, "no row `nobody` in decoders; there are mine, other" in error) == (1, True)
    code, _, error = call("reconstruct", "other", tmp_path / "a.png", "--project", project)
    assert (code, "no trained model; `dvc repro` trains it, `dvc pull` fetches it" in error) == (1, True)
    code, _, error = call("rows", "--project", tmp_path)
    assert (code, "there is no such parameter file" in error) == (1, True)


def test_weights_that_changed_since_training_are_refused(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    subprocess.run(["cp", "-r", str(project), str(copy)], check=True)
    weights.save(copy / layout.weights("vgg11"), trunk("vgg11", "random", 1, None), {"origin": "random, seed 1"})
    with pytest.raises(WeightsError, match="weights are random, seed 1, but mine was trained on random, seed 0"):
        DecoderRow(copy, "mine")


def test_the_comparison_sets_original_result_and_error_side_by_side() -> None:
    image, black = pictures.noise(50, 30), Image.new("RGB", (50, 30))
    page = apply.comparison(image, apply.measure(image, black), "mine")
    width, height = 50 * 6, 30 * 6
    panels = [
        page.crop((12 + place * (width + 12), 12, 12 + place * (width + 12) + width, 12 + height)) for place in range(3)
    ]
    assert panels[0].tobytes() == image.resize((width, height), Image.Resampling.NEAREST).tobytes()
    assert panels[1].getextrema() == ((0, 0), (0, 0), (0, 0))
    assert panels[2].getextrema()[0][1] > 100
