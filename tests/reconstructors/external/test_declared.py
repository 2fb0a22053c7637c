"""ONNX graphs, TorchScript programs and Python callables: what they are given is what their rows declare."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import outside
import pytest
import torch
from torch import nn

from afterimage import reconstructors
from afterimage.core import images
from afterimage.core.errors import ParamsError, WeightsError

EXTENSION = {"onnx": ".onnx", "torchscript": ".pt"}
TRUST: dict[str, dict[str, Any]] = {"onnx": {}, "torchscript": {"trust": True}}
LOOKS: list[dict[str, Any]] = [
    {},
    {"range": [-1.0, 1.0], "missing": 0},
    {"range": [0.0, 255.0], "layout": "nhwc", "colours": "bgr"},
    {"range": [-1.0, 1.0], "colours": "bgr", "missing": 0, "joined": True},
    {"layout": "nhwc", "joined": True},
]


def made(folder: Path, form: str, look: dict[str, Any]) -> dict[str, Any]:
    """A row of a model with such tensors."""
    whole = {"range": [0.0, 1.0], "layout": "nchw", "colours": "rgb", "missing": 1, "joined": False, **look}
    low, high = whole.pop("range")
    module = (outside.Joined if whole["joined"] else outside.Declared)(low, high, **whole)
    image, mask = torch.rand(1, 3, outside.SIDE, outside.SIDE), torch.zeros(1, 1, outside.SIDE, outside.SIDE)
    parts = [torch.cat([image, mask], 1)] if whole["joined"] else [image, mask]
    laid = tuple(part.permute(0, 2, 3, 1).contiguous() if whole["layout"] == "nhwc" else part for part in parts)
    return {**outside.exported(module, laid, folder / f"model{EXTENSION[form]}"), **TRUST[form], **look}


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: ",".join(map(str, look)))
@pytest.mark.parametrize("form", list(EXTENSION))
def test_holes_are_given_in_the_declared_terms(tmp_path: Path, form: str, look: dict[str, Any]) -> None:
    given = outside.observation("holes")
    answer = outside.load(tmp_path, form, "holes", **made(tmp_path, form, look))(given).images
    missing = given.masks.expand_as(answer) > 0.5
    assert torch.equal(answer[~missing], given.images[~missing])
    assert float((answer[missing] - 0.5).abs().max()) < 1e-5


@pytest.mark.parametrize("form", list(EXTENSION))
def test_a_mask_of_the_other_polarity_shows(tmp_path: Path, form: str) -> None:
    row = {**made(tmp_path, form, {}), "missing": 0}
    given = outside.observation("holes")
    answer = outside.load(tmp_path, form, "holes", **row)(given).images
    assert float((answer[:, 1:2][given.masks > 0.5] - 0.25).abs().max()) < 1e-5


class Bright(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.repeat_interleave(2, 2).repeat_interleave(2, 3) * 2 - 1


@pytest.mark.parametrize("form", list(EXTENSION))
def test_frames_are_brought_to_the_model_s_side_and_answers_back(tmp_path: Path, form: str) -> None:
    row = outside.exported(Bright(), (torch.rand(1, 3, 16, 16),), tmp_path / f"x{EXTENSION[form]}")
    found = outside.load(tmp_path, form, "frames", **row, **TRUST[form], side=16, answers=[-1.0, 1.0])
    given = outside.observation("frames")
    answer = found(given).images
    assert answer.shape == (2, 3, outside.SIDE, outside.SIDE)
    small = images.to_tensor(given.frames[1])[None]  # 16 px already, and twice as large in the answer
    wanted = small.repeat_interleave(2, 2).repeat_interleave(2, 3)[0]
    np.testing.assert_allclose(answer[1], wanted, atol=1e-6)


class Decoder(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("form", list(EXTENSION))
def test_features_are_given_as_they_are(tmp_path: Path, form: str) -> None:
    row = outside.exported(Decoder(), (torch.rand(1, 3, 16, 16),), tmp_path / f"x{EXTENSION[form]}")
    given = outside.observation("features")
    answer = outside.load(tmp_path, form, "features", **row, **TRUST[form])(given).images
    np.testing.assert_allclose(answer, Decoder()(given.layers[0]), atol=1e-6)


@pytest.mark.parametrize("form", list(EXTENSION))
def test_files_that_are_no_such_model(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"x{EXTENSION[form]}"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a TorchScript program: |not an ONNX graph that onnxruntime "):
        outside.load(tmp_path, form, "holes", **outside.pinned(path), **TRUST[form])
    row = made(tmp_path, form, {})
    found = outside.load(tmp_path, form, "frames", **row)
    with pytest.raises(WeightsError, match=r"failed on tensors of shapes \[\[1, 3, 32, 32\]\]: ") as caught:
        found(outside.observation("frames"))
    assert "\n" not in str(caught.value)
    row["sha256"] = "0" * 64
    with pytest.raises(WeightsError, match="its sha256 is "):
        outside.load(tmp_path, form, "holes", **row)


@pytest.mark.parametrize("location", ["weights.bin", "../folder/weights.bin"])
def test_weights_beside_an_onnx_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    """Their hash would not be that of the row."""
    import onnx

    here = tmp_path / "folder"
    here.mkdir()
    monkeypatch.chdir(here)  # onnxruntime would look for them in this folder
    row = outside.exported(nn.Conv2d(3, 3, 9, padding=4), (torch.rand(1, 3, 16, 16),), here / "x.onnx")
    graph = onnx.load("x.onnx")
    onnx.save(graph, "x.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    text = Path("x.onnx").read_bytes()
    graph = onnx.load_from_string(text)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    Path("x.onnx").write_bytes(graph.SerializeToString())
    row["sha256"] = outside.pinned(Path("x.onnx"))["sha256"]
    with pytest.raises(WeightsError, match=r"not an ONNX graph that onnxruntime .*External data path"):
        outside.load(here, "onnx", "frames", **row)


@pytest.mark.parametrize(
    ("form", "own"),
    [
        ("torchscript", {"path": "x.pt", "sha256": "0"}),
        ("python", {"call": "a:b", "version": "1"}),
        ("command", {"command": ["run", "{images}", "{answers}"], "version": "1"}),
    ],
)
def test_what_executes_code_needs_trust(tmp_path: Path, form: str, own: dict[str, Any]) -> None:
    path = tmp_path / "params.yaml"
    row = outside.values(form, "holes", **own)

    def read() -> Any:
        path.write_text(f"reconstructors:\n  mine: {row}\nobservations:\n  two: {{kind: holes, dataset: mine}}\n")
        return reconstructors.row(path, "mine")

    with pytest.raises(ParamsError) as caught:
        read()
    wanted = f"a row with `format: {form}` executes code from outside; say `trust: true` if you trust it"
    assert str(caught.value) == f"{path}: `reconstructors.mine`: {wanted}"
    row["trust"] = True
    assert read().together == (256 if form == "command" else 8)


MODULE = """
import torch

def fill(image, mask):
    return image + mask * 0.5

def flat(image, mask):
    return image[0]

def broken(image, mask):
    raise ValueError("nothing goes")

NUMBER = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "filler_of_tests.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("filler_of_tests", None)


def called(tmp_path: Path, name: str) -> Any:
    return outside.load(tmp_path, "python", "holes", call=f"filler_of_tests:{name}", version="1", trust=True)


def test_a_callable_is_given_tensors(module: Any, tmp_path: Path) -> None:
    given = outside.observation("holes")
    answer = called(tmp_path, "fill")(given).images
    assert torch.equal(answer, given.images + given.masks * 0.5)


def test_what_is_wrong_with_a_callable_is_a_line(module: Any, tmp_path: Path) -> None:
    given = outside.observation("holes")
    with pytest.raises(WeightsError, match=r"fill.*:flat: answers with a tensor of shape \[3, 32, 32\], expected"):
        called(tmp_path, "flat")(given)
    with pytest.raises(WeightsError, match="failed on tensors of shapes .*: nothing goes"):
        called(tmp_path, "broken")(given)
    with pytest.raises(ParamsError, match="is int, expected something to call"):
        called(tmp_path, "NUMBER")
    with pytest.raises(ParamsError, match="call 'filler_of_tests:gone': cannot be imported: "):
        called(tmp_path, "gone")


def test_a_format_that_there_is_not_is_named() -> None:
    with pytest.raises(ParamsError, match="format 'onix': there is no such format; there are folder, checkpoint, "):
        reconstructors.kind_of(outside.values("onix", "holes"))
