"""The study of what each layer keeps, from metrics that are written by hand."""

import html
import re
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pictures import png

from afterimage import report
from afterimage.core import layout, outputs, shards
from afterimage.core.errors import ParamsError
from afterimage.datasets.sources import Dataset
from afterimage.evaluation.baselines.features import BaselineRow
from afterimage.evaluation.metrics import MetricsRow, bootstrap
from afterimage.report import inversions, tables

ALL = [f"{group}_y{number:04d}" for group in ("cup", "tea") for number in range(3)]
KEYS = ALL[::2]
PSNR = {"relu": {"decoder": 31.0, "optimisation": 40.0, "hybrid": 50.0}}
PSNR["layer1"] = {"decoder": 25.0, "optimisation": 12.0, "hybrid": 24.0}


def put(family: str, name: str, keys: list[str], psnr: float, **more: float) -> None:
    columns = {"psnr": [psnr + place for place in range(len(keys))], "ssim": [psnr / 100] * len(keys)}
    columns |= {column: [value] * len(keys) for column, value in more.items()}
    groups = [key.split("_")[0] for key in keys]
    folder = layout.metrics(family, name)
    intervals = {column: bootstrap(values, groups, 50, 0)._asdict() for column, values in columns.items()}
    outputs.write_json(folder / "intervals.json", intervals)
    lines = zip(keys, keys, groups, *columns.values(), strict=True)
    outputs.write_csv(folder / "images.csv", ["key", "image", "group", *columns], lines)


def put_shards(folder: Path, keys: list[str]) -> None:
    path = folder / "test-000000.tar"
    with shards.writer(path) as write:
        for number, key in enumerate(keys):
            write(f"{key}.png", png(16, 16, number))
    shards.write_index(folder, {"size": 16}, {"test": [shards.describe(path)]})


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Sections:
    monkeypatch.chdir(tmp_path)
    put_shards(layout.shards("photos"), ALL)
    put("baselines", "photos/mean_colour", ALL, 10.0)
    for layer, methods in PSNR.items():
        for method, psnr in methods.items():
            ended = {} if method == "decoder" else {"steps": 9, "converged": float(method == "hybrid")}
            put("inversions", f"net-{layer}/{method}", KEYS, psnr, feature_error=1 / psnr, **ended)
            put_shards(layout.reconstructions("inversions", f"net-{layer}/{method}"), KEYS)
    return report.Sections(
        datasets={"photos": Dataset(source="folder", path="x", size=16)},
        encoders={"net": report.EncoderNames(arch="vgg16", dataset="photos", layers=["relu", "layer1"])},
        decoders={},
        inversions={
            f"net-{layer}": report.InversionNames(dataset="photos", encoder="net", layer=layer, images=3)
            for layer in reversed(PSNR)
        },
        holes={},
        inpainters={},
        completers={},
        degradations={},
        restorers={},
        baselines={"photos": BaselineRow(dataset="photos", methods=["mean_colour"])},
        metrics=MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=50),
        report=report.ReportRow(images=2),
    )


def test_methods_stand_side_by_side(sections: report.Sections, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (part,) = inversions.parts(sections, tmp_path / "a")
    assert (part["images"], part["groups"], part["rows"]) == (3, 2, 2)
    assert part["wins"] == {"decoder": 1, "optimisation": 0, "hybrid": 1}
    assert (part["searches"], part["converged"]) == (12, 6)
    shallow, deep = part["encoders"][0]["lines"]
    assert (shallow["layer"], deep["layer"]) == ("relu", "layer1")
    psnr = {method["name"]: method["cells"][0] for method in deep["methods"]}
    assert {name: cell["mean"] for name, cell in psnr.items()} == {
        "decoder": "26.00",
        "optimisation": "13.00",
        "hybrid": "25.00",
    }
    assert [name for name, cell in psnr.items() if cell["best"]] == ["decoder"]
    assert [value and value["mean"] for value in part["baselines"][0]["values"]] == ["12.00", "0.100", None]
    inversions.parts(sections, tmp_path / "b")
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"kept-photos.png", "kept-grid-net.png"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()

    loader = FileSystemLoader(report.TEMPLATES)
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("inversions.html")
    body = page.render(section=part)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
    assert "the hybrid is the best of the three for 1 of 2 layers, optimisation alone for 0, the decoder for 1" in text
    assert "6 of 12 searches ended by their stop rule" in text
    assert set(re.findall(r'src="figures/([^"]+)"', body)) == names


def test_a_loss_to_a_baseline_is_marked(sections: report.Sections, tmp_path: Path) -> None:
    put("baselines", "photos/mean_colour", ALL, 20.0)
    (part,) = inversions.parts(sections, tmp_path)
    deep = part["encoders"][0]["lines"][1]["methods"]
    assert [method["name"] for method in deep if method["cells"][0]["lost"]] == ["optimisation"]
    assert not any(method["cells"][-1]["lost"] for method in deep)  # baselines have no feature error


def test_lines_name_layer_and_depth(sections: report.Sections) -> None:
    lines = [(line.result.name, line.layer, line.depth) for line in inversions.lines(sections)]
    assert lines[0] == ("net-relu/decoder", "relu", 1)
    assert lines[-1] == ("net-layer1/hybrid", "layer1", 2)


def test_rows_that_cannot_be_compared_are_named(sections: report.Sections, tmp_path: Path) -> None:
    rows = dict(sections.inversions)
    rows["net-relu"] = rows["net-relu"].model_copy(update={"images": 9})
    with pytest.raises(ParamsError, match=r"`inversions.net-layer1.images`: 3, but net-relu has 9"):
        inversions.parts(changed(sections, rows), tmp_path)
    rows["net-relu"] = rows["net-relu"].model_copy(update={"layer": "layer9"})
    with pytest.raises(ParamsError, match=r"`inversions.net-relu.layer`: `layer9` .* keeps; it keeps relu, layer1"):
        inversions.parts(changed(sections, rows), tmp_path)


def changed(sections: report.Sections, rows: dict[str, report.InversionNames]) -> report.Sections:
    return report.Sections(**{**vars(sections), "inversions": rows})


def test_rows_are_listed(tmp_path: Path) -> None:
    outputs.write_json(tmp_path / "params.yaml", {"inversions": {"net-relu": {"encoder": "net", "layer": "relu"}}})
    outputs.write_json(tmp_path / layout.metrics("inversions", "net-relu/hybrid") / "summary.json", {"psnr": 30.0})
    listed = {line["row"]: line for line in tables.results(tmp_path)}
    assert list(listed) == ["net-relu/decoder", "net-relu/optimisation", "net-relu/hybrid"]
    assert (listed["net-relu/hybrid"]["psnr"], listed["net-relu/hybrid"]["reads"]) == (30.0, "net relu")
