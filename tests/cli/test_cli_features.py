"""`afterimage reconstruct` and `afterimage invert`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import toys
from PIL import Image
from toys import call

from afterimage import apply, reconstructors
from afterimage.apply.features import Applied


class SearchRow(reconstructors.ReconstructorRow):
    steps: int = 5
    seed: int = 0


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a trained row and a search, and files that somebody handed over."""
    first, last = toys.Doubling(), toys.Doubling(converged=0.0)
    root = toys.project(
        tmp_path / "project", monkeypatch, {"mine": toys.Doubling()}, {"search": {"first": first, "last": last}}
    )
    monkeypatch.setattr(reconstructors, "row", lambda path, name: SearchRow.model_construct(kind="toy"))
    applied = apply.load(root, "mine")
    assert isinstance(applied, Applied)
    photo = pictures.noise(40, 32)
    photo.save(tmp_path / "photo.png")
    taken = applied.features(photo)[0]
    np.save(tmp_path / "one.npy", taken[0].numpy().astype(np.float16))
    np.save(tmp_path / "two.npy", taken.expand(2, -1, -1, -1).numpy())
    broken = taken[0].numpy().copy()
    broken[0, 0, 0] = np.nan
    np.save(tmp_path / "broken.npy", broken)
    toys.changed.clear()
    monkeypatch.chdir(tmp_path)
    return root


Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def reconstruct(project: Path) -> Ask:
    return toys.caller("reconstruct", "mine", project)


@pytest.fixture
def invert(project: Path) -> Ask:
    return toys.caller("invert", "search", project)


def pixels(path: Path | str) -> Any:
    return np.asarray(Image.open(path).convert("RGB"), dtype=float)


@pytest.mark.parametrize("size", [(32, 32), (61, 45), (700, 40)])
def test_reconstruct_takes_any_size_and_keeps_it(reconstruct: Ask, tmp_path: Path, size: tuple[int, int]) -> None:
    source = tmp_path / "my photo é.png"
    pictures.noise(*size).save(source)
    code, said, error = reconstruct(source, "--out", "out.png")
    assert (code, error) == (0, "")
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out-comparison.png", "out.png"]
    result = Image.open("out.png")
    assert (result.size, result.mode) == (size, "RGB")
    psnr = -10 * np.log10(np.square((pixels(source) - pixels("out.png")) / 255).mean())
    assert f"{psnr:.2f} dB" in said and "-> out.png, out-comparison.png" in said


def test_a_comparison_that_is_there_is_kept_too(reconstruct: Ask, tmp_path: Path) -> None:
    (tmp_path / "photo-mine-comparison.png").write_text("mine")
    code, _, error = reconstruct("photo.png")
    assert (code, error.count("\n")) == (1, 1)
    assert "photo-mine-comparison.png: this output is there already" in error
    assert not Path("photo-mine.png").exists()


def test_features_from_a_file_give_images(reconstruct: Ask, tmp_path: Path) -> None:
    code, said, error = reconstruct("one.npy", "two.npy", "photo.png", "-o", "out")
    assert (code, error) == (0, "")
    assert "one.npy: steps 7 -> out/one-mine.png\n" in said
    found = sorted(path.name for path in Path("out").iterdir())
    expected = ["one-mine.png", "photo-mine-comparison.png", "photo-mine.png", "two-mine-000.png", "two-mine-001.png"]
    assert found == expected
    for name in ("one-mine", "two-mine-001"):
        assert np.abs(pixels(f"out/{name}.png") - pixels("out/photo-mine.png")).max() <= 1
    assert reconstruct("one.npy", "--size", "39x32", "-o", "odd.png")[0] == 0
    assert Image.open("odd.png").size == (39, 32)


def test_invert_finds_an_image_for_features(invert: Ask, tmp_path: Path) -> None:
    code, said, warned = invert("one.npy", "-o", "found.png", "--steps", "20", "--seed", "4")
    assert code == 0
    assert said == "one.npy: steps 7 -> found.png\n"
    assert warned.startswith("afterimage: found.png: not converged") and warned.count("\n") == 1
    assert np.abs(pixels("found.png") - pixels("photo.png")).mean() < 30
    assert toys.changed == [{"steps": 20, "seed": 4}]


def test_invert_takes_one_case_and_an_image(project: Path) -> None:
    code, said, warned = call("invert", "search/first", "photo.png", "--project", project)
    assert (code, warned) == (0, "")
    assert said.startswith("photo.png: steps 7; ") and said.endswith(" to the original -> photo-search-first.png\n")
    assert "dB, SSIM" in said
    assert toys.changed == [{}]


def test_invert_numbers_several_images(invert: Ask, tmp_path: Path) -> None:
    assert invert("two.npy", "-o", "x.png", "--size", "40x32")[0] == 0
    assert sorted(path.name for path in tmp_path.glob("x*")) == ["x-000.png", "x-001.png"]
    code, _, error = invert("two.npy", "-o", "x.png")
    assert code == 1 and "x-000.png, and 1 more: this output is there already" in error
    assert invert("two.npy", "one.npy", "-o", "out")[0] == 0
    assert len(list(Path("out").iterdir())) == 3


def test_a_row_that_does_not_search_is_refused(project: Path) -> None:
    code, _, error = call("invert", "mine", "one.npy", "--project", project)
    said = "row `mine` is trained and does not search; `afterimage reconstruct mine` takes it"
    assert (code, error) == (1, f"afterimage: {said}\n")


@pytest.mark.parametrize(
    ("source", "words", "text"),
    [
        ("broken.npy", [], "broken.npy: 1 of 960 features are not finite"),
        ("one.npy", ["--size", "9"], "--size 9: expected WIDTHxHEIGHT in px"),
        ("one.npy", ["--size", "80x80"], "one.npy: features of shape [3, 16, 20]; pool of toy has [3, 40, 40]"),
        ("one.npy", ["--restarts", "2"], "--restarts: row `search` has no setting `restarts`"),
        ("none.npy", [], "none.npy: No such file or directory"),
        ("project/params.yaml", [], "not an image in a known format; features come as .npy"),
    ],
)
def test_what_invert_cannot_use_is_one_line(invert: Ask, source: str, words: list[str], text: str) -> None:
    code, said, error = invert(source, "-o", "x.png", *words)
    assert (code, said) == (1, "")
    assert error.startswith("afterimage: ") and text in error
    assert error.count("\n") == 1
    assert not Path("x.png").exists()
