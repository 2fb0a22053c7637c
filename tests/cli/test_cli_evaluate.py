"""`afterimage evaluate`: anybody's outputs in the table of the baselines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import rebuilt
from PIL import Image
from toys import call

from afterimage.core.images import Uint8
from afterimage.evaluation import metrics
from afterimage.evaluation.baselines import holes

BOX = np.s_[10:20, 12:26]
COUNT = 3


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three originals of different sizes, masks of a box, outputs with the box in a near colour, and small inputs."""
    monkeypatch.chdir(tmp_path)
    for name in ("originals", "masks", "outputs", "inputs"):
        (tmp_path / name / "deep").mkdir(parents=True)
    for number in range(COUNT):
        original = np.asarray(pictures.noise(48 + number, 40 + number, seed=number))
        name = f"deep/{number}.png" if number else f"{number}.png"
        Image.fromarray(original).save(f"originals/{name}")
        mask = np.zeros(original.shape[:2], np.uint8)
        mask[BOX] = 255
        Image.fromarray(mask).save(f"masks/{name}")
        output = original.astype(np.int16)
        output[BOX] += 3
        Image.fromarray(output.clip(0, 255).astype(np.uint8)).save(f"outputs/{name}")
        Image.fromarray(original).reduce(2).save(f"inputs/{name}")
    return tmp_path


def pixels(path: str) -> Uint8:
    return np.asarray(Image.open(path))


def plain(*words: str) -> dict[str, Any]:
    code, said, error = call("evaluate", "--images", "outputs", "--originals", "originals", *words, "--json", "-q")
    assert (code, error) == (0, "")
    return json.loads(said)


Words = tuple[str, ...]
MASKED: Words = ("--masks", "masks")


def test_holes_stand_beside_all_baselines_with_the_paired_difference(folders: Path) -> None:
    found = plain(*MASKED)
    assert (found["images"], found["lpips_weights"]) == (COUNT, "random, seed 0")
    assert list(found["results"]) == ["images", *holes.METHODS]
    of = found["results"]
    assert {"psnr", "ssim", "lpips_untrained", "hole_psnr", "hole_ssim", "band_psnr", "seam"} <= of["images"].keys()
    originals = [pixels(f"originals/{name}") for name in ("0.png", "deep/1.png", "deep/2.png")]
    mask = pixels("masks/0.png") > 0
    wanted = [
        float(metrics.psnr(each[None], holes.fill("telea", each, _like(mask, each))[None])[0]) for each in originals
    ]
    assert of["telea"]["psnr"]["mean"] == pytest.approx(np.mean(wanted))
    best = found["best_baseline"]["name"]
    assert of[best]["hole_psnr"]["mean"] == max(of[name]["hole_psnr"]["mean"] for name in holes.METHODS)
    gain = found["differences"]["hole_psnr"]
    assert gain["mean"] == pytest.approx(of["images"]["hole_psnr"]["mean"] - of[best]["hole_psnr"]["mean"])
    assert gain["low"] < gain["mean"] < gain["high"]
    assert 0 < gain["p"] < 0.05
    assert found["known_pixels_off_by"] == 0


def _like(mask: Any, image: Uint8) -> Any:
    whole = np.zeros(image.shape[:2], bool)
    whole[BOX] = mask[BOX]
    return whole


def test_known_pixels_are_the_original_s(folders: Path) -> None:
    before = plain(*MASKED, "--baseline", "telea")
    for path in Path("outputs").rglob("*.png"):
        image = pixels(str(path)).copy()
        image[0] = 255 - image[0]
        Image.fromarray(image).save(path)
    after = plain(*MASKED, "--baseline", "telea")
    assert after["results"] == before["results"]
    assert after["known_pixels_off_by"] > 0.005
    code, said, _ = call(
        "evaluate", "--images", "outputs", "--originals", "originals", *MASKED, "--baseline", "black", "-q"
    )
    assert (code, "of 255 levels, and were taken from the originals" in said) == (0, True)


@pytest.mark.parametrize("words", [MASKED, ("--inputs", "inputs"), ()])
def test_the_table_fits_into_a_hundred_columns(folders: Path, words: Words) -> None:
    Path("outputs").rename("outputs-of-somebody-with-a-long-name")
    folder = "outputs-of-somebody-with-a-long-name"
    code, said, error = call("evaluate", "--images", folder, "--originals", "originals", *words, "-q")
    assert (code, error) == (0, "")
    assert max(map(len, said.splitlines())) <= 100
    assert "outputs-of-so…" in said
    assert "LPIPS: random, seed 0." in said
    assert ("less" in said, "95 % interval" in said) == (bool(words), bool(words))


def test_inputs_give_the_baselines_of_frames(folders: Path) -> None:
    found = plain("--inputs", "inputs")
    assert list(found["results"]) == ["images", "identity", "bicubic"]
    assert {"psnr", "psnr_tone", "ssim", "ssim_tone", "lpips_untrained"} <= found["results"]["bicubic"].keys()
    assert found["best_baseline"]["by"] == "psnr"
    alone = plain()
    assert "best_baseline" not in alone
    assert alone["results"]["images"] == found["results"]["images"]


def test_one_image_has_no_interval_of_a_difference(folders: Path) -> None:
    for folder in ("outputs", "originals", "masks"):
        for number in (1, 2):
            Path(folder, "deep", f"{number}.png").unlink()
    found = plain(*MASKED, "--baseline", "telea")
    assert found["differences"]["psnr"]["low"] is None
    words = ("--images", "outputs", "--originals", "originals", *MASKED, "--baseline", "telea", "-q")
    assert "one image tells nothing" in call("evaluate", *words)[1]


def missing(folder: str) -> None:
    Path(folder, "deep/1.png").unlink()


def doubled(folder: str) -> None:
    Path(folder, "0.jpg").write_bytes(pictures.jpeg())


def small(folder: str) -> None:
    Image.new("L" if folder == "masks" else "RGB", (40, 40)).save(Path(folder, "deep/1.png"))


@pytest.mark.parametrize(
    ("spoil", "folder", "line"),
    [
        (missing, "outputs", "originals/deep/1.png: this original is of no image; deep/1.* is missing"),
        (missing, "originals", "outputs/deep/1.png: has no original deep/1.*"),
        (missing, "masks", "outputs/deep/1.png: has no mask deep/1.*"),
        (doubled, "outputs", "has the same name; expected one file a name"),
        (small, "outputs", "outputs/deep/1.png: is 40 x 40 px, and its original 49 x 41 px"),
        (small, "masks", "masks/deep/1.png: all of the mask is black"),
    ],
)
def test_a_file_that_does_not_fit_is_named(folders: Path, spoil: Callable[[str], None], folder: str, line: str) -> None:
    spoil(folder)
    code, said, error = call("evaluate", "--images", "outputs", "--originals", "originals", *MASKED)
    assert (code, said) == (1, "")
    assert line in error
    assert all(each.startswith("afterimage: ") for each in error.splitlines())


def test_all_faults_are_named_at_once(folders: Path) -> None:
    for number in (1, 2):
        Path(f"outputs/deep/{number}.png").write_bytes(b"no image")
    error = call("evaluate", "--images", "outputs", "--originals", "originals")[2]
    assert [f"outputs/deep/{number}.png: not an image" in error for number in (1, 2)] == [True, True]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((*MASKED, "--inputs", "inputs"), "--masks and --inputs both say what was restored"),
        ((*MASKED, "--baseline", "nothing"), "--baseline nothing: there is black, "),
        (("--baseline", "telea"), "--baseline telea: there is none without --masks or --inputs"),
        (("--lpips", "originals/0.png"), "not weights that can be read safely"),
    ],
)
def test_words_that_do_not_go_together_are_a_line(folders: Path, words: Words, line: str) -> None:
    code, _, error = call("evaluate", "--images", "outputs", "--originals", "originals", *words, "-q")
    assert code == 1
    assert line in error
    assert error.count("\n") == 1


def test_the_trunk_of_a_project_is_taken(folders: Path) -> None:
    trunk = rebuilt.trunk(folders / "lpips.safetensors")
    assert plain("--lpips", str(trunk))["results"] == plain()["results"]
