"""The report of a made-up project with all kinds of observation: what is written, and what is said of the run."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import measured
import numpy as np
import pytest
from pages import overview, text
from PIL import Image

from afterimage import report
from afterimage.core import layout, outputs
from afterimage.core.errors import AfterimageError, ParamsError
from afterimage.datasets.sources import quarantine
from afterimage.evaluation import results
from afterimage.report import figures, grids

STAGE = Path(__file__).parents[2] / "stages/report.py"
BASELINES = {"features": ["mean_colour"], "holes": ["black", "telea"], "frames": ["identity"]}


def row(observes: str, observation: str) -> dict[str, str]:
    return {"kind": "anything", "dataset": "photos", "observes": observes, "observation": observation}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        measured.dataset()
        reasons = {"a.jpg": "the file is empty", "b.jpg": "damaged <b>header</b>", "c.jpg": "damaged image: cut off"}
        quarantine.write(layout.shards("photos") / "rejected.csv", reasons.items())
        measured.gates("net", [[4, 16, 16], [8, 4, 4]])
        measured.gates("two")
        measured.gates("cctv")
        given = [{"layer": "deep", "arch": "vgg16", "weights_origin": "ImageNet (torchvision IMAGENET1K_V1)"}]
        for name, kind, observation, case, psnr in (
            ("learned", "features", "net", "test", 21.37),
            ("filled", "holes", "two", "test", 25.0),
            ("restored", "frames", "cctv", "mild", 20.0),
        ):
            measured.result(kind, name, case, psnr, hole_psnr=psnr - 5, lpips_untrained=1 / psnr)
            measured.model(name, given=given if kind == "features" else [])
            for method in BASELINES[kind]:
                place = f"mild/{method}" if kind == "frames" else method
                measured.result(kind, observation, place, 22.0, hole_psnr=17, lpips_untrained=1 / 22)
        measured.params(
            observations={
                "net": {"kind": "features", "dataset": "photos", "path": "x", "layers": ["shallow", "deep"]},
                "two": {"kind": "holes", "dataset": "photos", "path": "x", "shape": "boxes"},
                "cctv": {"kind": "frames", "dataset": "photos", "path": "x", "levels": {"mild": [{"step": "noise"}]}},
            },
            reconstructors={
                "learned": row("features", "net/deep"),
                "filled": row("holes", "two"),
                "restored": row("frames", "cctv"),
            },
            baselines=BASELINES,
        )
    return root


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> report.Project:
    """A copy of the project as the working directory."""
    shutil.copytree(built, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return report.Project.read(Path("params.yaml"))


def written(out: Path = Path("reports")) -> dict[str, str]:
    mine = {"measured", "validation"}
    made = [path for path in out.rglob("*") if path.is_file() and not mine & set(path.relative_to(out).parts[:-1])]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def test_writes_pages_figures_and_tables(project: report.Project) -> None:
    report.write(project, Path("reports"))
    assert set(written()) == {
        "index.html",
        "validation.html",
        *(f"figures/{name}.png" for name in ("curves-photos", "depth-photos", "grid-net")),
        *(f"figures/{name}.png" for name in ("frames-cctv", "holes-two", "holes-two-curves")),
        *(f"figures/glance-{kind}.png" for kind in BASELINES),
        *(f"tables/curves/{kind}-photos-psnr.csv" for kind in BASELINES),
        *(f"tables/results/{kind}-photos.csv" for kind in BASELINES),
    }
    for path in Path("reports/figures").iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert "Software" not in image.info
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, f"{path} is empty"
        assert path.stat().st_size < figures.MAX_BYTES
    page = Path("reports/index.html").read_text(encoding="utf-8")
    shown = re.findall(r'<img src="([^"]+)" alt="[^"]{20,}"', page)
    assert sorted(shown) == sorted(name for name in written() if name.startswith("figures/"))
    linked = set(re.findall(r'<a href="(tables/[^"]+)"', page))
    assert linked == {name for name in written() if name.startswith("tables/")}
    assert not re.search(r"<script|https?:", page)


def test_is_the_same_bit_for_bit(project: report.Project, tmp_path: Path) -> None:
    import matplotlib

    report.write(project, Path("reports"))
    first = written()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):  # as a user's matplotlibrc would have it
        report.write(report.Project.read(Path("params.yaml")), tmp_path / "again")
    assert written(tmp_path / "again") == first


def test_the_overview_says_who_is_best_and_who_loses(project: report.Project) -> None:
    report.write(project, Path("reports"))
    table = overview()
    interval = r"[+−\d.]+ to [+−\d.]+"
    assert re.search(rf"net/deep learned 21\.37 .* mean_colour 22\.00 .* −0\.63 {interval} loses to mean_colour", table)
    assert re.search(rf"two filled 20\.00 {interval} black 17\.00 {interval} \+3\.00 {interval} better", table)
    assert re.search(r"cctv/mild restored 20\.00 .* identity 22\.00 .* loses to identity", table)
    wider = {"observations": project.observations, "reconstructors": project.reconstructors, "baselines": BASELINES}
    measured.result("features", "learned", "test", 22.001, lpips_untrained=0.01, hole_psnr=1)
    path = layout.measured("learned") / "test/images.csv"
    path.write_text(path.read_text().replace("22.501", "21.8"))
    measured.params(**wider)
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "below mean_colour, not for certain" in overview()


def test_removed_rows_leave_nothing(project: report.Project) -> None:
    measured.model("removed")
    measured.result("features", "removed", "test", 25.0)
    measured.result("features", "net", "median", 15.0)
    Path("reports/figures").mkdir(parents=True)
    Path("reports/figures/grid-removed.png").write_bytes(b"")
    report.write(project, Path("reports"))
    assert "figures/grid-removed.png" not in written()
    for name in written():
        if not name.endswith(".png"):
            content = Path("reports", name).read_text(encoding="utf-8")
            assert "removed" not in content
            assert "median" not in content


def test_untrained_lpips_is_never_called_lpips(project: report.Project) -> None:
    report.write(project, Path("reports"))
    for page in ("index.html", "validation.html"):
        assert not re.search(r"lpips(?!_untrained)", Path("reports", page).read_text(encoding="utf-8"), re.IGNORECASE)
    assert "whose trunk is untrained (random weights, seed 0)" in text()
    for path in Path("reports/measured").rglob("*.*"):
        path.write_text(path.read_text().replace("lpips_untrained", "lpips"))
    report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert "LPIPS ↓" in text()
    assert "untrained (" not in text()


def test_says_what_the_run_was(project: report.Project) -> None:
    report.write(project, Path("reports"))
    assert "net : vgg16, weights: ImageNet (torchvision IMAGENET1K_V1). Layers: shallow, deep." in text()
    assert "photos (source: folder), square tiles of 16 × 16 px: 6 to train" in text()
    assert "2 × damaged, such as b.jpg: damaged <b>header</b>" in text()  # escaped: it reached the reader as it is
    assert "1 × empty, such as a.jpg: the file is empty" in text()
    assert "over the 2 groups" in text()


def test_validation_page_tells_each_check(project: report.Project) -> None:
    report.write(project, Path("reports"))
    page = text("validation.html")
    assert "1 of 1 checks passed. 6 images taken from 8 files, 2 set aside." in page
    assert "No split is empty. 36 of 36 samples ✓ passed" in page
    assert "Features of net" in page and "Holes of two" in page and "Frames of cctv" in page
    assert "Every value is finite. ✓ passed 36 of 36 samples ✓ passed" in page
    assert "shallow 4 × 16 × 16 float16 6 0 to 2.5" in page
    gate = results.read_json(layout.validation("photos"))
    gate["checks"][0]["passed"] = False
    outputs.write_json(layout.validation("photos"), gate)
    report.write(project, Path("reports"))
    assert "0 of 1 checks passed" in text("validation.html")
    assert "✗ failed" in text("validation.html")


def test_a_large_figure_is_reduced(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(8)]
    rows = [grids.GridRow("noise", noise[n], [noise[n + 1], None], ["5 dB", ""]) for n in range(7)]
    grids.grid(tmp_path / "grid.png", [("layer", "1×1×1"), ("empty", "")], rows)
    assert (tmp_path / "grid.png").stat().st_size <= figures.MAX_BYTES
    with Image.open(tmp_path / "grid.png") as image:
        pixels = np.asarray(image)
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    shown = pixels[46 : 46 + 128, 10 : 10 + 128].astype(int)
    assert 0 < np.abs(shown - noise[0]).max() <= 8


def test_many_panels_begin_a_new_line(tmp_path: Path) -> None:
    curve = figures.Curve("loss", [1, 2], [0.2, 0.1])
    for count in (1, 3, 4):
        figures.training_curves(tmp_path / f"{count}.png", {str(n): [curve] for n in range(count)}, "loss", True)
    sizes = {count: Image.open(tmp_path / f"{count}.png").size for count in (1, 3, 4)}
    assert sizes[1][0] < sizes[3][0] == sizes[4][0]
    assert 2 * sizes[3][1] == sizes[4][1]


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (layout.measured("filled"), "reports/measured/filled: nothing is measured there"),
        (layout.measured("filled") / "test/images.csv", "reports/measured/filled/test/images.csv: there is no such"),
        (layout.measured("cctv") / "mild/identity", "reports/measured/cctv/mild/identity/images.csv: there is no such"),
        (layout.model("restored") / "card.json", "data/models/restored/card.json: there is no such file"),
        (layout.observation("two") / layout.GATES, "data/observations/two/gates.json: there is no such file"),
        (layout.reconstructions("learned"), "data/reconstructions/learned/test"),
    ],
)
def test_what_is_missing_is_named(project: report.Project, missing: Path, named: str) -> None:
    if missing.is_dir():
        shutil.rmtree(missing)
    else:
        missing.unlink()
    with pytest.raises(AfterimageError, match=re.escape(named)):
        report.write(report.Project.read(Path("params.yaml")), Path("reports"))
    assert not Path("reports/index.html").exists()


def test_stage_runs_without_torch_and_fails_in_a_line(project: report.Project) -> None:
    code = "report.write(report.Project.read(Path('params.yaml')), Path('reports')); print('torch' in sys.modules)"
    words = [sys.executable, "-c", f"import sys; from pathlib import Path; from afterimage import report; {code}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert "21.37" in text()

    # The numbers of this project are made up, which the stage finds before it draws anything
    failed = subprocess.run([sys.executable, str(STAGE)], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("report: reports/measured/learned/test: PSNR of `cup_y0000` is 20.87, and 9.12")

    (layout.measured("learned") / "test/intervals.json").write_text("{", encoding="utf-8")
    failed = subprocess.run([sys.executable, str(STAGE)], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("report: reports/measured/learned/test/intervals.json: not JSON")


@pytest.mark.parametrize("methods", ["identity", [["identity"]], {"identity": 1}])
def test_baselines_are_lists_of_names(project: report.Project, methods: object) -> None:
    path = Path("params.yaml")
    data = json.loads(path.read_text(encoding="utf-8"))
    data["baselines"]["frames"] = methods
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"params\.yaml: `baselines\.frames`: expected a list of names"):
        report.Project.read(path)
