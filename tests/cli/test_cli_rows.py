"""`afterimage rows`: tables for people, and the same as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from toys import call

from afterimage.report import tables

RESULTS: dict[str, list[dict[str, Any]]] = {
    "features": [
        {"row": "vgg16-relu1_2", "case": "test", "observation": "vgg16/relu1_2", "psnr": 25.123456, "ssim": 0.8},
        {"row": "vgg16", "case": "mean_colour", "observation": "vgg16", "psnr": 12.5, "ssim": None},
    ],
    "holes": [{"row": "pix2pix", "case": "test", "observation": "two-boxes", "hole_rmse": 0.12345}],
    "frames": [],
}


@pytest.fixture(autouse=True)
def results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "results", lambda project: RESULTS)


def test_a_table_for_each_kind_of_observation(tmp_path: Path) -> None:
    code, said, _ = call("rows", "--project", tmp_path)
    assert code == 0
    assert "features\n\nrow " in said and "\nholes\n\nrow " in said
    assert "frames" not in said  # there are none
    lines = {line.split()[0]: line for line in said.splitlines() if line}
    assert "25.12" in lines["vgg16-relu1_2"] and "25.123" not in said
    assert lines["vgg16"].split()[-1] == "-"
    assert "Report:" not in said
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/index.html").touch()
    assert f"Report: {tmp_path}/reports/index.html" in call("rows", "--project", tmp_path)[1]


def test_filters(tmp_path: Path) -> None:
    def shown(*words: str) -> list[str]:
        code, said, _ = call("rows", *words, "--json", "--project", str(tmp_path))
        assert code == 0
        return [line["row"] for lines in json.loads(said).values() for line in lines]

    assert shown() == ["vgg16-relu1_2", "vgg16", "pix2pix"]
    assert shown("vgg16*") == ["vgg16-relu1_2", "vgg16"]
    assert shown("*/mean_colour") == ["vgg16"]
    assert shown("vgg16") == ["vgg16"]
    assert shown("--kind", "holes") == ["pix2pix"]
    assert shown("p*", "--kind", "features") == []
    assert call("rows", "p*x", "--project", tmp_path)[1].startswith("holes\n")
    assert call("rows", "nothing", "--project", tmp_path)[1] == "no rows that match nothing\n"
    assert call("rows", "--kind", "none")[0] == 2


def test_json_has_every_digit(tmp_path: Path) -> None:
    assert json.loads(call("rows", "--json", "--project", tmp_path)[1]) == RESULTS
