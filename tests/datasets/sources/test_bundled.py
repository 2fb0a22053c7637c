"""The photographs of installed packages."""

import subprocess
import sys
from pathlib import Path

import pytest
from fetching import by_key, row, table

from afterimage.core.errors import SourceError
from afterimage.datasets import sources

TABLE = Path(sources.__file__).with_name("bundled.csv")


def test_the_bundled_photographs(tmp_path: Path) -> None:
    sources.fetch(row("bundled", path=str(TABLE)), "photos", tmp_path / "raw")
    manifest = by_key(table(tmp_path / "raw" / "manifest.csv"))
    splits = {split: {key for key, line in manifest.items() if line["split"] == split} for split in sources.SPLITS}
    assert splits["test"] == {"chelsea", "coffee", "rocket"}
    assert splits["val"] == {"flower", "grace_hopper"}
    assert len(splits["train"]) == 7
    assert {key for key, line in manifest.items() if line["group"] == "motorcycle"} == {
        "motorcycle_left",
        "motorcycle_right",
    }
    assert all(
        line["licence"] and line["attribution"] and line["page"].startswith("http") for line in manifest.values()
    )
    assert (manifest["chelsea"]["width"], manifest["chelsea"]["height"]) == ("451", "300")


def test_finding_the_photographs_imports_no_package(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from afterimage.datasets import sources\n"
        f"data = dict(source='bundled', path={str(TABLE)!r}, size=64)\n"
        f"row = sources.Dataset.kind_of(data).model_validate(data)\n"
        f"sources.fetch(row, 'photos', Path({str(tmp_path / 'raw')!r}))\n"
        "print(sorted({'skimage', 'sklearn', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("88431cd9", "00000000", "skimage/data/astronaut.png: SHA-256 88431cd9.* expected 00000000"),
        ("skimage,data/astronaut", "skimage,data/cosmonaut", "the installed skimage has no data/cosmonaut.png"),
        ("astronaut,skimage", "astronaut,scikit_picture", "package scikit_picture, which is not installed"),
        ("astronaut,train", "astronaut,training", "astronaut has the split 'training'"),
        ("licence,", "license,", "the columns licence are missing"),
    ],
)
def test_a_table_that_does_not_fit_the_packages(tmp_path: Path, old: str, new: str, expected: str) -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / "table.csv"
    changed.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SourceError, match=expected):
        sources.fetch(row("bundled", path=str(changed)), "photos", tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
