"""Completions in the report, from metrics that are written by hand."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pictures import png
from PIL import Image
from test_report_inpainters import KEYS, put_row
from test_report_inversions import put, put_shards

from afterimage import report
from afterimage.core import layout, outputs, shards
from afterimage.core.errors import ParamsError
from afterimage.evaluation.metrics import MetricsRow
from afterimage.evaluation.results import HOLE_BASELINES
from afterimage.report import completers, figures

ROWS = {"hybrid": 0.05, "alone": 0.15}


def put_completions(folder: Path) -> None:
    path = folder / "test-000000.tar"
    with shards.writer(path) as write:
        for number, key in enumerate(KEYS):
            write(f"{key}.png", png(16, 16, number))
            for sample in range(4):
                write(f"{key}.sample{sample}.png", png(16, 16, 10 * number + sample))
    shards.write_index(folder, {"size": 16}, {"test": [shards.describe(path)]})


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Sections:
    monkeypatch.chdir(tmp_path)
    put_shards(layout.shards("photos"), KEYS)
    for number, method in enumerate(HOLE_BASELINES):
        put_row("baselines-holes", f"two/{method}", 0.2 - 0.02 * number)
    for name, rmse in ROWS.items():
        own = dict(bits=4.25, bits_whole=5.5, histogram_bits=7.75, histogram_bits_whole=7.5, coverage=0.55, spread=0.1)
        psnr = -20 * np.log10(rmse)
        put("completers", name, KEYS, psnr, hole_rmse=rmse, hole_psnr=psnr, hole_ssim=1 - rmse, **own)
        put_completions(layout.reconstructions("completers", name))
        trained = dict(arch="row_lstm", likelihood="softmax", trunk={} if name == "hybrid" else None, samples=4)
        outputs.write_json(layout.model("completers", name) / "card.json", {"trained": trained, "parameters": 54321})
    return report.Sections(
        datasets={},
        encoders={},
        decoders={},
        inversions={},
        holes={"two": report.HolesNames(dataset="photos", shape="boxes")},
        inpainters={},
        completers={name: report.CompleterNames(dataset="photos", holes="two") for name in ROWS},
        degradations={},
        restorers={},
        baselines={},
        metrics=MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=50),
        report=report.ReportRow(images=2),
    )


def test_completions_stand_beside_the_baselines_with_what_is_theirs(sections: report.Sections, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (part,) = completers.parts(sections, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["completions-alone.png", "completions-hybrid.png"]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert Image.open(tmp_path / "a" / file).width > 8 * figures.CELL
    loader = FileSystemLoader(report.TEMPLATES)
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("completers.html")
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.render(section=part))))
    assert "hybrid is 4.08 dB above the best baseline, biharmonic, within the hole." in text
    assert "row lstm, softmax 54 321" in text.replace("\u202f", " ")
    assert "hybrid: sees all that is known" in text and "unconditional: sees earlier pixels only" in text
    assert "ideal 60 for 4 completions" in text and "4.25" in text and "7.75" in text
    assert "Loses to biharmonic in" in text
    assert [line.result.name for line in completers.lines(sections)] == ["hybrid", "alone"]


def test_a_row_that_beats_nothing_says_so(sections: report.Sections, tmp_path: Path) -> None:
    rows = {"alone": sections.completers["alone"]}
    (part,) = completers.parts(report.Sections(**{**vars(sections), "completers": rows}), tmp_path)
    loader = FileSystemLoader(report.TEMPLATES)
    page = Environment(loader=loader, undefined=StrictUndefined, autoescape=True).get_template("completers.html")
    assert "No row beats the best baseline, biharmonic, within the hole" in page.render(section=part)


def test_holes_that_are_not_there(sections: report.Sections, tmp_path: Path) -> None:
    rows = {"lost": report.CompleterNames(dataset="photos", holes="three")}
    with pytest.raises(ParamsError, match=r"completers\.lost\.holes`: there is no row `three` in `holes`"):
        completers.parts(report.Sections(**{**vars(sections), "completers": rows}), tmp_path)
