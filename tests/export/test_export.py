"""Rows written as files: ONNX graphs, TorchScript programs and weights answer as the row does, at any size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import outside
import pictures
import pytest
import rows
import torch
from conftest import ROOT
from torch import nn
from toys import call

from afterimage import apply, export, reconstructors
from afterimage.core import images, outputs, weights
from afterimage.export import ExportError, checking, graphs
from afterimage.observations.features import Features
from afterimage.observations.frames import Frames
from afterimage.observations.holes import Holes
from afterimage.reconstructors.autoencoder.learner import network
from afterimage.reconstructors.external.onnx import Graph as Session
from afterimage.reconstructors.pix2pix.learner import generator
from afterimage.training import models

SIZE = 32
BUILT = {"autoencoder": network, "pix2pix": generator}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def made(root: Path, kind: str, **settings: Any) -> Path:
    """A project with a row `mine` whose network answers by chance, with nothing left of where it begins."""
    row = rows.row(kind, **settings)
    torch.manual_seed(0)
    found = BUILT[kind](row.model_dump(), SIZE)
    for parameter in found.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0, 0.05)
    folder = root / "data/models/mine"
    outputs.write_json(folder / models.CARD, models.card("mine", row, [{"size": SIZE}]))  # type: ignore[typeddict-item]
    weights.save(folder / models.MODEL, found.state_dict(), {"row": "mine"})
    return named(root)


def named(root: Path) -> Path:
    (root / "params.yaml").write_text("reconstructors: {mine: {}}\n")
    return root


def written(project: Path, form: str, row: str = "mine") -> tuple[export.Written, Path]:
    path = Path(f"out{export.FORMATS[form]}")
    return export.write(project, row, form, path), path


def reference(project: Path) -> Any:
    return next(iter(reconstructors.load(project, "mine", "cpu").reconstructors.values()))


def difference(found: torch.Tensor, wanted: torch.Tensor) -> int:
    return int(np.abs(images.to_uint8(found).astype(int) - images.to_uint8(wanted)).max())


RESTORERS: dict[str, dict[str, Any]] = {
    "lenet": {"arch": "lenet", "fold": 1, "output": "sigmoid"},
    "skip": {"arch": "skip", "fold": 1},
    "nafnet": {"arch": "nafnet", "fold": 2},
    "super-resolution": {"arch": "nafnet", "fold": 1, "factor": 2},
    "blind": {"arch": "nafnet", "tone": True},
}


@pytest.mark.parametrize("name", RESTORERS)
def test_a_restorer_as_onnx_answers_as_the_row_at_any_size(tmp_path: Path, name: str) -> None:
    project = made(tmp_path, "autoencoder", **RESTORERS[name])
    done, path = written(project, "onnx")
    assert [each.size for each in done.differences] == [(64, 64), (97, 57), (129, 125)]
    assert max(each.largest for each in done.differences) <= 1
    session, row = Session(path.read_bytes(), name, torch.device("cpu")), reference(project)
    factor = RESTORERS[name].get("factor", 1)
    for height, width in ((32, 45), (45, 33), (530, 600)):
        frame = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        wanted = row(Frames(["0"], (factor * height, factor * width), [frame])).images
        found = session([images.to_tensor(frame)[None]])
        assert found.min() >= 0 and found.max() <= 1
        assert difference(found, wanted) <= 1
        enlarged = images.to_tensor(frame)[None].repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        assert difference(found, enlarged) > 2  # the network does something


FILLS: dict[str, dict[str, Any]] = {
    "smooth": {"blocks": "gated", "reduce": 2, "detail": ["exemplar", "smooth"]},
    "grey": {"blocks": "plain", "start": "grey"},
}


@pytest.mark.parametrize("name", FILLS)
def test_a_fill_as_onnx_answers_as_the_row_at_any_size(tmp_path: Path, name: str) -> None:
    project = made(tmp_path, "pix2pix", **FILLS[name])
    done, path = written(project, "onnx")
    assert done.row == ("mine/smooth" if name == "smooth" else "mine")
    assert ("Patches" in done.left_out[0]) == (name == "smooth")
    session, row = Session(path.read_bytes(), name, torch.device("cpu")), reference(project)
    row.exemplar = False
    for height, width in ((7, 1), (33, 64), (301, 217)):
        mask = torch.zeros(1, 1, height, width)
        mask[..., 2 : height // 2 + 1, : width // 2 + 1] = 1
        image = torch.rand(1, 3, height, width) * (1 - mask)
        found = session([image, mask])
        assert difference(found, row(Holes(["0"], (height, width), image, mask)).images) <= 1
        assert torch.equal(found[(mask < 0.5).expand_as(found)], image[(mask < 0.5).expand_as(found)])


@pytest.mark.parametrize(("arch", "layers"), [("upconv", None), ("light", rows.LAYERS)])
def test_a_decoder_as_onnx_answers_as_the_row(tmp_path: Path, arch: str, layers: list[str] | None) -> None:
    shards = pictures.shards_of(tmp_path / "images", {"train": [4], "val": [2], "test": [2]}, size=SIZE)
    rows.features(shards, tmp_path / "vgg11")
    observation = "vgg11" if layers else "vgg11/relu2_1"
    row = rows.row("decoder", arch=arch, observation=observation, layers=layers, training={"epochs": 1})
    rows.trained(row, tmp_path / observation, shards, tmp_path)
    assert max(each.largest for each in written(named(tmp_path), "safetensors")[0].differences) == 0
    done, path = written(tmp_path, "onnx")
    assert max(each.largest for each in done.differences) <= 1
    assert "relu2_1 [1, 128, h, w]" in done.takes
    shapes = [(1, 64, 46, 62), (1, 128, 23, 31)] if layers else [(1, 128, 23, 31)]
    given = Features(["0"], (46, 62), [torch.rand(shape) for shape in shapes])
    again = outside.load(Path(), "onnx", "features", path=path.name, sha256=done.sha256)
    assert difference(again(given).images, reference(tmp_path)(given).images) <= 1


@pytest.mark.parametrize("form", ["torchscript", "safetensors"])
@pytest.mark.parametrize(
    ("kind", "settings"), [("autoencoder", RESTORERS["blind"]), ("pix2pix", {"blocks": "fourier", "width": 8})]
)
def test_other_formats_answer_as_the_row(tmp_path: Path, form: str, kind: str, settings: dict[str, Any]) -> None:
    done, path = written(made(tmp_path, kind, **settings), form)
    assert max(each.largest for each in done.differences) == 0
    assert done.sha256 == outputs.sha256(path)


def test_what_has_no_operator_in_onnx_is_one_line(tmp_path: Path) -> None:
    project = made(tmp_path, "pix2pix", blocks="fourier", width=8)
    with pytest.raises(ExportError, match="mine: does not go into an ONNX graph.*fft"):
        written(project, "onnx")
    assert list(Path().iterdir()) == []


def test_filters_do_not_go_into_a_graph(tmp_path: Path) -> None:
    project = made(tmp_path, "autoencoder", filters=["gamma", "nlm"])
    for form in ("onnx", "torchscript"):
        with pytest.raises(ExportError, match="gamma and nlm.*--format safetensors"):
            written(project, form)
    assert max(each.largest for each in written(project, "safetensors")[0].differences) == 0


def test_a_graph_that_answers_otherwise_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = made(tmp_path, "autoencoder", arch="skip")
    monkeypatch.setattr(graphs.Restored, "forward", lambda self, image: self.network(image).clamp(0, 1) * 0.98)
    with pytest.raises(ExportError, match=r"as torchscript .* levels of 255.* tolerated are 1 level of 255 in 1%"):
        written(project, "torchscript")
    assert list(Path().iterdir()) == []


def test_a_kind_that_is_no_graph_is_one_line(tmp_path: Path) -> None:
    loaded = reconstructors.Loaded(rows.row("pixelrnn"), {}, tmp_path, {})
    with pytest.raises(ExportError, match="rows of the kind pixelrnn do not go into a graph"):
        graphs.of("mine", loaded, None)  # type: ignore[arg-type]


def test_sizes_are_three_and_two_of_them_odd() -> None:
    assert checking.sizes(8) == checking.sizes(64)
    assert checking.sizes(256) == checking.sizes(512) == [(256, 256), (289, 249), (321, 509)]


def test_the_command_says_what_was_written_and_what_was_left_out(tmp_path: Path) -> None:
    project = made(tmp_path, "pix2pix", **FILLS["smooth"])
    words = ("export", "mine", "--format", "onnx", "--project", project)
    code, said, error = call(*words)
    lines = said.splitlines()
    assert (code, error) == (0, "")
    assert lines[0].startswith("mine/smooth -> mine.onnx, ") and lines[0].endswith(outputs.sha256(Path("mine.onnx")))
    assert lines[1].startswith("image [1, 3, H, W], mask [1, 1, H, W] with 1 = missing; answers [1, 3, H, W]")
    assert [line.partition(" px")[0] for line in lines[2:5]] == [
        "checked on 64 x 64", "checked on 57 x 97", "checked on 125 x 129",
    ]  # fmt: skip
    assert lines[5] == "tolerated: 1 level of 255 in 1% of the values"
    assert [line.split()[2] for line in lines[6:]] == ["Patches:", "Windows:"]
    code, _, error = call(*words)
    assert code == 1 and "--overwrite replaces it" in error
    assert call(*words, "--overwrite", "-q") == (0, "", "")
    code, _, error = call("export", "none", "--format", "onnx", "--project", project)
    assert (code, error.count("\n")) == (1, 1) and "no reconstructor `none`" in error


@pytest.mark.parametrize("kind", ["autoencoder", "pix2pix"])
def test_what_was_written_is_a_row_of_models_outside(tmp_path: Path, kind: str) -> None:
    project = made(tmp_path, kind, **{"autoencoder": RESTORERS["nafnet"], "pix2pix": FILLS["grey"]}[kind])
    observes = {"autoencoder": "frames", "pix2pix": "holes"}[kind]
    for form, trust in (("onnx", {}), ("torchscript", {"trust": True})):
        done, path = written(project, form)
        again = outside.load(Path(), form, observes, path=path.name, sha256=done.sha256, **trust)
        size = (61, 45)
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        mask = torch.zeros(1, 1, *size)
        mask[..., 20:40, 10:30] = 1
        frames = Frames(["0"], size, [pixels])
        holes = Holes(["0"], size, images.to_tensor(pixels)[None] * (1 - mask), mask)
        given = frames if observes == "frames" else holes
        assert difference(again(given).images, reference(project)(given).images) <= 1


def test_a_file_says_what_it_is_and_under_which_terms(tmp_path: Path) -> None:
    import onnx

    _, path = written(ROOT, "onnx", "zoo/real-blind")
    (about,) = onnx.load(path).metadata_props
    said = json.loads(about.value)
    assert said["row"] == "zoo/real-blind" and said["takes"].startswith("image [1, 3, H, W]")
    assert said["licence"].startswith("For non-commercial research and education only")
    graph = Session(path.read_bytes(), "blind", torch.device("cpu"))
    applied = apply.load(ROOT, "zoo/real-blind", "cpu")
    frame = np.random.default_rng(0).integers(0, 90, (45, 61, 3), np.uint8)
    found = images.to_uint8(graph([images.to_tensor(frame)[None]]))[0]
    assert np.abs(found.astype(int) - applied.frames(frame[None])[0]).max() <= 1
