"""Rows of reconstructors find their kind, their section, and an observation that goes with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rows
import torch

from afterimage import reconstructors
from afterimage.core import layout, outputs
from afterimage.core.errors import DeviceError, ParamsError, WeightsError

OBSERVATIONS = {
    "vgg11": {"kind": "features", "dataset": "mine"},
    "two": {"kind": "holes", "dataset": "mine"},
    "cctv": {"kind": "frames", "dataset": "mine"},
    "faces": {"kind": "holes", "dataset": "faces"},
}


def plain(name: str, **values: Any) -> dict[str, Any]:
    return {**rows.row(name).model_dump(), **values}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """params.yaml of a project (JSON is YAML) with a row of most kinds."""
    trained = {kind: plain(kind) for kind in rows.ROWS}
    return written(tmp_path, trained)


def written(root: Path, trained: dict[str, Any], searched: dict[str, Any] | None = None) -> Path:
    path = root / "params.yaml"
    path.write_text(
        json.dumps({"observations": OBSERVATIONS, "reconstructors": trained, "searches": searched or {}, "shared": {}})
    )
    return path


@pytest.mark.parametrize("name", [name for name in reconstructors.KINDS if name != "external"])
def test_a_kind_is_found_by_its_name(name: str) -> None:
    kind = reconstructors.kind_of({"kind": name})
    assert issubclass(kind.Row, reconstructors.ReconstructorRow)
    assert kind.observes in ("features", "holes", "frames")
    assert reconstructors.kind_of({"kind": name}) is kind


@pytest.mark.parametrize("name", ["decoders", None, 3, "inversion.search"])
def test_an_unknown_kind_names_those_there_are(name: Any) -> None:
    with pytest.raises(ParamsError) as caught:
        reconstructors.kind_of({"kind": name})
    assert str(caught.value) == (
        f"there is no kind of reconstructor `{name}`; there are autoencoder, decoder, external, inversion, pix2pix, "
        "pixelrnn, transfer"
    )


def test_kinds_are_the_packages_there_are() -> None:
    folder = Path(reconstructors.__file__).parent
    assert sorted(path.parent.name for path in folder.glob("*/__init__.py")) == list(reconstructors.KINDS)


@pytest.mark.parametrize("kind", rows.ROWS)
def test_a_row_is_of_the_class_of_its_kind(path: Path, kind: str) -> None:
    row = reconstructors.row(path, kind)
    assert row == rows.row(kind)
    assert type(row) is reconstructors.kind_of(row).Row
    assert row.together == 4
    assert reconstructors.section_of(path, kind) == "reconstructors"


def test_an_unknown_row_lists_the_rows_there_are(tmp_path: Path) -> None:
    path = written(tmp_path, {"a": {}}, {"b": {}})
    assert reconstructors.section_of(path, "b") == "searches"
    with pytest.raises(ParamsError) as caught:
        reconstructors.row(path, "c")
    assert str(caught.value) == f"{path}: there is no reconstructor `c`; there are a, b"
    path.write_text("reconstructors: {c: 7}\n")
    with pytest.raises(ParamsError, match="reconstructors.c.kind`: there is no kind of reconstructor `None`"):
        reconstructors.row(path, "c")
    path.write_text("datasets: {}\n")
    with pytest.raises(ParamsError, match="there is no reconstructor `c`; there are none"):
        reconstructors.row(path, "c")


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        ("decoder", {"kind": "pix3pix"}, "decoder.kind`: there is no kind of reconstructor `pix3pix`; there are auto"),
        ("decoder", {"observes": "holes"}, "decoder.observes`: 'holes', but `decoder` observes 'features'"),
        ("decoder", {"width": 0}, "decoder.width`: 0: input should be greater than 0"),
        ("pix2pix", {"observation": "three"}, "pix2pix.observation`: 'three' is of none of vgg11, two, cctv, faces"),
        ("pix2pix", {"observation": "vgg11/relu1_1"}, "the kind of 'vgg11/relu1_1' is features, not holes"),
        ("pixelrnn", {"observation": "faces"}, "pixelrnn.observation`: the dataset of 'faces' is faces, not mine"),
        ("autoencoder", {"images": 0}, "autoencoder.images`: 0: "),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path: Path, kind: str, change: dict[str, Any], expected: str) -> None:
    path = written(tmp_path, {kind: plain(kind, **change)})
    with pytest.raises(ParamsError) as caught:
        reconstructors.row(path, kind)
    assert str(caught.value).startswith(f"{path}: `reconstructors.{kind}.")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trained_row_is_loaded_with_its_own_settings(path: Path) -> None:
    """Those that it was trained with, whatever params.yaml says by now."""
    root = path.parent
    mine = rows.row("pix2pix", width=6)
    kind = reconstructors.kind_of(mine)
    folder = root / layout.model("pix2pix")
    network = pix2pix(mine)
    outputs.write_json(folder / "card.json", card(mine))
    rows.weights.save(folder / "model.safetensors", network.state_dict(), {})
    found = reconstructors.load(root, "pix2pix", "cpu")
    assert found.row == mine != reconstructors.row(path, "pix2pix")
    assert (found.folder, found.card["row"]) == (folder, "mine")
    assert list(found.reconstructors) == [""]
    assert type(found.row) is kind.Row


def pix2pix(mine: Any) -> torch.nn.Module:
    from afterimage.reconstructors.pix2pix.learner import generator

    return generator(mine.model_dump(), 32)


def card(mine: Any) -> dict[str, Any]:
    from afterimage.training import models

    return models.card("mine", mine, [{"size": 32, "splits": {}}])


def test_a_row_that_is_not_trained_says_so(path: Path) -> None:
    with pytest.raises(WeightsError, match="no trained model; `dvc repro` trains it, `dvc pull` fetches it"):
        reconstructors.load(path.parent, "pix2pix", "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="`cuda` is not available here"):
            reconstructors.load(path.parent, "pix2pix", "cuda")


def test_reading_rows_of_features_and_kinds_waits_for_no_torchvision(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from afterimage import reconstructors\n"
        f"for name in {list(rows.ROWS)!r}: reconstructors.row(Path({str(path)!r}), name)\n"
        "print(sorted({'torchvision', 'matplotlib', 'lpips', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_model_of_another_version_is_one_line(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / layout.model("pix2pix")
    settings = {**rows.row("pix2pix").model_dump(), "width_of_old": 3}
    outputs.write_json(folder / "card.json", {"row": "pix2pix", "kind": "pix2pix", "settings": settings, "given": []})
    with pytest.raises(WeightsError, match=r"card\.json: `width_of_old`: unknown key;.*another version"):
        reconstructors.load(tmp_path, "pix2pix", "cpu")
