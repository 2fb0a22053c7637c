"""A submission goes out and comes back, and each fault of a file is found and named by its line."""

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pictures
import pytest
from PIL import Image

from afterimage.apply import submission
from afterimage.core.errors import HoleError, SubmissionError

TABLE = "file,left,top,right,bottom\nb.png,2,3,12,13,8,9,18,19\na_1.jpg,0,0,10,10\na_1.jpg,30,20,40,30\n"
ROWS = 4 * 10 * 10 * 3


def black(image: Image.Image, mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(mask[..., None], 0, np.asarray(image)).astype(np.uint8))


def same(image: Image.Image, mask: np.ndarray) -> Image.Image:
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures.folder(tmp_path / "images", {"a_1.jpg": pictures.jpeg(seed=1), "b.png": pictures.png(seed=2)})
    (tmp_path / "boxes.csv").write_text(TABLE)
    return tmp_path


def written(folder: Path, fill: submission.Fill = same) -> Path:
    rows = submission.write(fill, folder / "images", folder / "boxes.csv", folder / "out.csv")
    assert rows == ROWS
    return folder / "out.csv"


def check(folder: Path, originals: bool = False) -> submission.Checked:
    return submission.check(folder / "out.csv", folder / "boxes.csv", folder / "images" if originals else None)


def test_a_row_for_each_value_in_order(folder):
    lines = list(csv.reader(written(folder).read_text().splitlines()))
    assert lines[0] == ["id", "value"]
    assert [line[0] for line in (lines[1], lines[300], lines[301], lines[601], lines[-1])] == [
        "b.png_0_0", "b.png_0_299", "b.png_1_0", "a_1.jpg_0_0", "a_1.jpg_1_299",
    ]  # fmt: skip
    with Image.open(folder / "images/b.png") as image:
        box = np.asarray(image)[3:13, 2:12] / 255
    assert [float(line[1]) for line in lines[1:301]] == pytest.approx(box.reshape(-1), abs=1e-6)


def test_the_round_trip_scores_what_was_filled(folder):
    written(folder)
    perfect = check(folder, originals=True)
    assert perfect[:2] == (2, ROWS)
    assert perfect.rmse == pytest.approx(0, abs=1e-6)
    assert check(folder).mse is None
    written(folder, black)
    with Image.open(folder / "images/b.png") as b, Image.open(folder / "images/a_1.jpg") as a:
        x, y = np.asarray(b) / 255, np.asarray(a) / 255
    values = np.concatenate([x[3:13, 2:12], x[9:19, 8:18], y[:10, :10], y[20:30, 30:40]], axis=None)
    found = check(folder, originals=True)
    assert found.mse == pytest.approx(np.square(values).mean(), rel=1e-4)
    assert found.rmse == pytest.approx(np.square(values).mean() ** 0.5, rel=1e-4)


def changed(folder: Path, change: dict[int, str | None]) -> Path:
    """The submission with other lines at these numbers, counted from 1; None takes a line out."""
    lines: list[str | None] = list(written(folder).read_text().splitlines())
    for number, text in change.items():
        lines[number - 1] = text
    (folder / "out.csv").write_text("".join(f"{line}\n" for line in lines if line is not None))
    return folder / "out.csv"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({1: "pixel,value"}, "line 1: 'pixel,value'; expected the header id,value"),
        ({5: None}, r"line 5: b.png_0_4 comes too early, or b.png_0_3 is missing before it"),
        ({5: "b.png_0_2,0.5"}, "line 5: b.png_0_2 was there before; expected b.png_0_3"),
        ({5: "c.png_0_3,0.5"}, "line 5: 'c.png_0_3' is no row that is asked for"),
        ({5: "b.png_0_300,0.5"}, "line 5: 'b.png_0_300' is no row"),
        ({5: "b.png_2_3,0.5"}, "line 5: 'b.png_2_3' is no row"),
        ({5: "0.5"}, "line 5: '' is no row"),
        ({5: "b.png_0_3,x"}, "line 5: 'x' is no number"),
        ({5: "b.png_0_3,nan"}, "line 5: nan is not between 0 and 1"),
        ({5: "b.png_0_3,1.01"}, "line 5: 1.01 is not between 0 and 1"),
        ({1201: None}, "ends after line 1200; expected a_1.jpg_1_299 next"),
        ({1201: "a_1.jpg_1_299,0.5\nmore,1"}, "line 1202: 'more,1' is more than is asked for"),
        ({301: "b.png_0_299,0.999"}, r"b.png: boxes 0 and 1 overlap and differ in 1 of their common pixels"),
    ],
)
def test_each_fault_is_named(folder, change, said):
    changed(folder, change)
    with pytest.raises(SubmissionError) as error:
        check(folder)
    assert said in str(error.value)
    assert "out.csv" in str(error.value)


def test_files_and_boxes_that_are_not_there(folder):
    (folder / "images/b.png").unlink()
    with pytest.raises(HoleError, match=r"boxes\.csv, line 2: b\.png: .*b\.png: No such file"):
        submission.write(same, folder / "images", folder / "boxes.csv", folder / "out.csv")
    assert not (folder / "out.csv").exists()
    pictures.folder(folder / "images", {"b.png": pictures.png(16, 16)})
    with pytest.raises(HoleError, match=r"line 2: b\.png: the box 8,9 to 18,19 does not lie within"):
        submission.write(same, folder / "images", folder / "boxes.csv", folder / "out.csv")
    with pytest.raises(SubmissionError, match=r"none\.csv: cannot be read: No such file"):
        submission.check(folder / "none.csv", folder / "boxes.csv")


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    pictures.folder(tmp_path / "images", {f"{n}.png": pictures.png(32, 32, seed=n) for n in range(9)})
    peaks = []
    for count in (2, 9):
        (tmp_path / "boxes.csv").write_text("".join(f"{n}.png,0,0,20,20,10,10,30,30\n" for n in range(count)))
        tracemalloc.start()
        submission.write(same, tmp_path / "images", tmp_path / "boxes.csv", tmp_path / "out.csv")
        submission.check(tmp_path / "out.csv", tmp_path / "boxes.csv", tmp_path / "images")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
