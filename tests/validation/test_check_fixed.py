"""The gate of what is stored one by one for the samples of some splits, such as masks and frames."""

import json
import subprocess
import sys
from pathlib import Path

import pictures
import pytest

from afterimage.core import shards
from afterimage.core.errors import CheckError, ShardError
from afterimage.validation import checks

SPLITS = ("val", "test")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return pictures.shards_of(tmp_path / "images", {"train": [2], "val": [3], "test": [2, 2]}, size=8)


def stored(folder: Path, keys: dict[str, list[str]]) -> Path:
    """A sample of three bytes for each key."""
    folder.mkdir()
    described = {}
    for split, names in keys.items():
        path = folder / f"{split}-000000.tar"
        with shards.writer(path) as put:
            for name in names:
                put(f"{name}.png", name[-3:].encode())
        described[split] = [shards.describe(path)]
    shards.write_index(folder, {}, described)
    return folder


def keys(images: Path) -> dict[str, list[str]]:
    return {split: list(shards.Table(images, split).keys) for split in SPLITS}


def fault(sample: bytes, image: bytes) -> str | None:
    assert image.startswith(b"\x89PNG")
    return "ends with 001" if sample == b"001" else None


def good(sample: bytes, image: bytes) -> str | None:
    return None


def test_what_fits_passes_and_says_how_much_there_is(images: Path, tmp_path: Path) -> None:
    found = checks.check_fixed("mine", stored(tmp_path / "out", keys(images)), images, SPLITS, good)
    assert (found["name"], found["passed"]) == ("mine", True)
    assert found["counts"] == {"splits": {"val": {"samples": 3}, "test": {"samples": 4}}}
    assert [check["check"] for check in found["checks"]] == [
        "every sample of val has its own, in the order of the images",
        "each of val is readable and fits its image",
        "every sample of test has its own, in the order of the images",
        "each of test is readable and fits its image",
    ]
    assert [check["observed"] for check in found["checks"]] == ["3 of 3", "3 of 3", "4 of 4", "4 of 4"]
    assert not checks.FAILURES.exists()


def test_a_fault_is_named_with_its_key(images: Path, tmp_path: Path) -> None:
    folder = stored(tmp_path / "out", keys(images))
    with pytest.raises(CheckError) as caught:
        checks.check_fixed("holes/mine", folder, images, SPLITS, fault)
    assert str(caught.value) == (
        'holes/mine: 2 of 4 checks failed, first "each of val is readable and fits its image": key val_a0001, fault '
        "ends with 001; 2 of 3 samples pass; all in .afterimage/validation/holes/mine.json"
    )
    full = checks.FAILURES / "holes/mine.json"
    assert json.loads(full.read_text())["passed"] is False
    checks.check_fixed("holes/mine", folder, images, SPLITS, good)
    assert not full.exists()


@pytest.mark.parametrize("change", ["order", "missing", "extra"])
def test_samples_that_are_not_those_of_the_images(images: Path, tmp_path: Path, change: str) -> None:
    there = keys(images)
    if change == "order":
        there["test"][:2] = there["test"][1::-1]
    elif change == "missing":
        there["test"].pop()
    else:
        there["test"].append("zebra")
    folder = stored(tmp_path / "out", there)
    odd = {
        "order": "found test_a0001, expected test_a0000; 2 of 4",
        "missing": "found None, expected test_a0003; 3 of 4",
        "extra": "found zebra, expected None; 4 of 5",
    }
    with pytest.raises(CheckError, match=odd[change]):
        checks.check_fixed("mine", folder, images, SPLITS, good)


def test_what_cannot_be_read_is_named(images: Path, tmp_path: Path) -> None:
    folder = stored(tmp_path / "out", keys(images))
    tar = folder / "val-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-600])
    with pytest.raises(ShardError, match=r"val-000000\.tar: .* truncated or replaced"):
        checks.check_fixed("mine", folder, images, SPLITS, good)


def test_it_needs_no_great_expectations(images: Path, tmp_path: Path) -> None:
    folder = stored(tmp_path / "out", keys(images))
    program = (
        "import sys; from pathlib import Path; from afterimage.validation import checks\n"
        f"checks.check_fixed('mine', Path({str(folder)!r}), Path({str(images)!r}), {SPLITS!r}, lambda a, b: None)\n"
        "print('great_expectations' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
