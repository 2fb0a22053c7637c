"""Inpainting in the report, from metrics that are written by hand."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pictures import png
from PIL import Image
from test_report_inversions import put, put_shards

from afterimage import report
from afterimage.core import layout, outputs
from afterimage.core.errors import ParamsError
from afterimage.datasets.sources import Dataset
from afterimage.evaluation.metrics import MetricsRow
from afterimage.evaluation.results import HOLE_BASELINES
from afterimage.report import inpainters, tables

KEYS = [f"{group}_y{number:04d}" for group in ("cup", "tea") for number in range(3)]
ROWS = {"good": 0.04, "bad": 0.12}


def put_row(family: str, name: str, rmse: float) -> None:
    psnr = -20 * np.log10(rmse)
    columns = {f"{region}_rmse": rmse for region in ("hole", "band")} | {"hole_psnr": psnr, "hole_lpips": rmse}
    put(family, name, KEYS, psnr, **columns, hole_ssim=1 - rmse, band_ssim=1 - rmse, missing=0.17)
    put_shards(layout.reconstructions(family, name), KEYS)


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Sections:
    monkeypatch.chdir(tmp_path)
    put_shards(layout.shards("photos"), KEYS)
    for number, method in enumerate(HOLE_BASELINES):
        put_row("baselines-holes", f"two/{method}", 0.2 - 0.02 * number)
    for name, rmse in ROWS.items():
        put_row("inpainters", name, rmse)
        loss = {"l1": 100.0, "l2": 0.0, "adversarial": 1.0, "hole": 10.0}
        card = {"loss": loss, "blocks": "plain", "start": "smooth", "parameters": 1234567}
        outputs.write_json(layout.model("inpainters", name) / "card.json", card)
        curves = [[epoch, 0.1 / epoch, 0.7, 0.02 / epoch] for epoch in (1, 2)]
        columns = ["epoch", "train_l1", "train_adversarial", "val_hole_mse"]
        outputs.write_csv(layout.model("inpainters", name) / "curves.csv", columns, curves)
        (layout.model("inpainters", name) / "samples").mkdir()
        for strip in ("originals", "holes", "0001", "0002"):
            (layout.model("inpainters", name) / f"samples/{strip}.png").write_bytes(png(48, 16))
    return report.Sections(
        datasets={"photos": Dataset(source="folder", path="x", size=16)},
        encoders={},
        decoders={},
        inversions={},
        holes={"two": report.HolesNames(dataset="photos", shape="boxes")},
        inpainters={name: report.InpainterNames(dataset="photos", holes="two") for name in ROWS},
        completers={},
        degradations={},
        restorers={},
        baselines={},
        metrics=MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=50),
        report=report.ReportRow(images=2),
    )


def test_rows_stand_beside_the_baselines(sections: report.Sections, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (part,) = inpainters.parts(sections, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["holes-two-bad.png", "holes-two-curves.png", "holes-two-good.png", "holes-two.png"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert Image.open(tmp_path / "a" / file).width > 200
    assert part["losing"] == 1
    assert part["best"]["name"] == "good"
    assert part["rival"]["name"] == "biharmonic"
    loader = FileSystemLoader(report.TEMPLATES)
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("inpainters.html")
    text = html.unescape(re.sub(r"<[^>]+>|\s+", " ", page.render(section=part)))
    assert "1 of 2 rows loses to a baseline" in re.sub(r"\s+", " ", text)
    assert "adversarial + 100 L1, hole × 10; plain, smooth start" in text
    assert "In the hole's RMSE good is the best row with 0.0400, and biharmonic the best baseline with 0.0800." in text


def test_rows_and_baselines_are_in_the_tables(sections: report.Sections, tmp_path: Path) -> None:
    names = [line.result.name for line in inpainters.lines(sections)]
    assert names == ["good", "bad", *(f"two/{method}" for method in HOLE_BASELINES)]
    rows = {"inpainters": {"good": {"dataset": "photos", "holes": "two"}}, "holes": {"two": {"dataset": "photos"}}}
    outputs.write_json(tmp_path / "params.yaml", rows)
    outputs.write_json(
        layout.metrics("inpainters", "good") / "summary.json", {"psnr": 30.0, "hole_rmse": 0.04, "missing": 1}
    )
    lines = tables.results(tmp_path)
    assert lines[0] == {"row": "good", "reads": "holes two", "trained": "yes", "psnr": 30.0, "hole_rmse": 0.04}
    assert [line["row"] for line in lines[1:]] == [f"two/{method}" for method in HOLE_BASELINES]


def test_holes_that_are_not_there(sections: report.Sections, tmp_path: Path) -> None:
    rows = {"lost": report.InpainterNames(dataset="photos", holes="three")}
    sections = report.Sections(**{**vars(sections), "inpainters": rows})
    with pytest.raises(ParamsError, match=r"inpainters\.lost\.holes`: there is no row `three` in `holes`"):
        inpainters.parts(sections, tmp_path)
