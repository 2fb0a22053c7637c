"""Restoration in the report, from metrics that are written by hand."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from safetensors.numpy import save_file
from test_report_inversions import ALL, put, put_shards

from afterimage import report
from afterimage.core import layout, outputs
from afterimage.core.errors import ParamsError
from afterimage.datasets.sources import Dataset
from afterimage.evaluation.metrics import MetricsRow
from afterimage.report import restorers, tables

LEVELS = {"mild": [{"step": "low_light"}, {"step": "noise"}], "bad": [{"step": "noise"}]}
PSNR = {"strong": {"mild": 30.0, "bad": 18.0}, "seed": {"mild": 15.0, "bad": 12.0}}
BASELINES = {"identity": 14.0, "gamma_nlm": 20.0}


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Sections:
    monkeypatch.chdir(tmp_path)
    put_shards(layout.shards("photos"), ALL)
    for level in LEVELS:
        for method, psnr in BASELINES.items():
            put("baselines-degradations", f"cctv/{level}/{method}", ALL, psnr)
            put_shards(layout.reconstructions("baselines-degradations", f"cctv/{level}/{method}"), ALL)
    for name, levels in PSNR.items():
        arch = "nafnet" if name == "strong" else "lenet"
        outputs.write_json(layout.model("restorers", name) / "card.json", {"arch": arch, "parameters": 13428})
        for level, psnr in levels.items():
            put("restorers", f"{name}/{level}", ALL, psnr)
            put_shards(layout.reconstructions("restorers", f"{name}/{level}"), ALL)
        lines = [
            [level, "brightness", value, 3, psnr, 0.5] for level, psnr in levels.items() for value in ("dark", "bright")
        ]
        columns = ("level", "column", "value", "images", "psnr", "ssim")
        outputs.write_csv(layout.metrics("restorers", name) / "subgroups.csv", columns, lines)
    columns = ("level", "number", "step", "images", "identity_psnr", "identity_ssim", "psnr", "ssim")
    steps = [["mild", 0, "low_light", 6, 12.0, 0.5, 25.0, 0.8], ["bad", 0, "noise", 6, 33.0, 0.9, 21.0, 0.7]]
    outputs.write_csv(layout.metrics("restorers", "strong") / "steps.csv", columns, steps)
    ends = {"mean": 1.0, "low": 0.5, "high": 1.5}
    found = dict.fromkeys(("mse", "psnr", "ssim"), ends)
    outputs.write_json(
        layout.metrics("restorers", "seed") / "protocol.json",
        {"images": 6, "filters": ["gamma", "nlm"], "network": found, "identity": found},
    )
    state = {"body.conv1.weight": np.arange(27, dtype=np.float32), "body.conv1.bias": np.float32([-1, 0, 4])}
    save_file(state, layout.model("restorers", "seed") / "model.safetensors")
    return report.Sections(
        datasets={"photos": Dataset(source="folder", path="x", size=16)},
        encoders={},
        decoders={},
        inversions={},
        holes={},
        inpainters={},
        completers={},
        degradations={
            "cctv": report.DegradationNames(dataset="photos", levels=LEVELS, baselines=list(BASELINES)),
        },
        restorers={
            "strong": report.RestorerNames(degradations="cctv", levels=["mild"]),
            "seed": report.RestorerNames(degradations="cctv", levels=[]),
        },
        baselines={},
        metrics=MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=50),
        report=report.ReportRow(images=2),
    )


def test_levels_stand_against_methods(sections: report.Sections, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (part,) = restorers.parts(sections, tmp_path / "a")
    assert (part["best"], part["wins"], part["images"]) == ("strong", ["mild"], 6)
    mild, bad = part["levels"]
    assert mild["steps"] == "low light, noise"
    assert [line["values"][0]["mean"] for line in mild["rows"]] == ["32.50", "17.50"]
    assert [line["gain"]["mean"] for line in bad["rows"]] == ["−2.00", "−8.00"]
    assert list(bad["rows"][0]["losses"]) == ["gamma_nlm"]
    assert [any(line["best"]) for line in mild["baselines"]] == [False, True]
    assert part["parameters"]["layers"][0] | {"std": None} == {
        "name": "conv1",
        "weights": 27,
        "biases": 3,
        "min": "-1.0000",
        "mean": "1.0000",
        "max": "4.0000",
        "std": None,
    }
    loader = FileSystemLoader(report.TEMPLATES)
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("restorers.html")
    body = page.render(section=part)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
    assert "strong beats every baseline in PSNR and SSIM at: mild." in text
    assert "The identity answers that without any error" in text and "13\u202f428 parameters" in body
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert set(re.findall(r'src="figures/([^"]+)"', body)) == names == {"restored-cctv.png", "parameters-cctv.png"}


def test_every_level_is_a_line_of_the_table(sections: report.Sections) -> None:
    lines = [(line.result.name, line.layer, line.model) for line in restorers.lines(sections)]
    assert lines[0] == ("strong/mild", "mild", "strong")
    assert lines[-1][:2] == ("cctv/bad/gamma_nlm", "bad")


def test_rows_that_do_not_fit_are_named(sections: report.Sections, tmp_path: Path) -> None:
    lost = report.RestorerNames(degradations="night", levels=[])
    with pytest.raises(ParamsError, match=r"restorers.x.degradations`: there is no row `night`"):
        restorers.parts(report.Sections(**{**vars(sections), "restorers": {"x": lost}}), tmp_path)
    with pytest.raises(ParamsError, match=r"degradations.cctv`: no row of `restorers` restores it"):
        restorers.parts(report.Sections(**{**vars(sections), "restorers": {}}), tmp_path)


def test_rows_are_listed(tmp_path: Path) -> None:
    params = {
        "degradations": {"cctv": {"levels": {"mild": []}, "baselines": ["identity"]}},
        "restorers": {"strong": {"degradations": "cctv"}},
    }
    outputs.write_json(tmp_path / "params.yaml", params)
    outputs.write_json(tmp_path / layout.metrics("restorers", "strong/mild") / "summary.json", {"psnr": 30.0})
    listed = tables.results(tmp_path)
    assert [(line["row"], line.get("psnr")) for line in listed] == [("strong/mild", 30.0), ("cctv/mild/identity", None)]
