"""The report of a tiny project whose metrics are written by hand, so that every number on the page is known."""

import csv
import hashlib
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import png
from PIL import Image

from afterimage import report
from afterimage.core import layout, outputs, shards
from afterimage.core.errors import AfterimageError, ParamsError
from afterimage.core.images import decode
from afterimage.datasets.sources import Dataset, quarantine
from afterimage.evaluation import results
from afterimage.evaluation.baselines.features import BaselineRow
from afterimage.evaluation.metrics import MetricsRow, bootstrap
from afterimage.report import figures

STAGE = Path(__file__).parents[1] / "stages" / "report.py"
SIZE = 16
GROUPS = ("cup", "hat", "tea")
KEYS = [f"{group}_y{number:04d}_x0000" for group in GROUPS for number in range(4)]
LAYERS = {"net": {"shallow": [4, 16, 16], "deep": [8, 4, 4]}, "other": {"only": [2, 8, 8]}}
DECODERS = {
    "net-deep": ("net", ["deep"]),
    "net-shallow": ("net", ["shallow"]),
    "net-deep-light": ("net", ["deep"]),
    "net-skip": ("net", ["shallow", "deep"]),
    "other-only": ("other", ["only"]),
}
PSNR = {"net-deep": 21.37, "net-shallow": 33.52, "net-deep-light": 14.86, "net-skip": 34.19, "other-only": 24.63}
BASELINES = {"mean_colour": 17.25, "mean_image": 12.48}
PARAMS = """
datasets:
  tiny: {source: folder, path: pictures, size: 16, group: parent, tile: 16}
encoders:
  net: {arch: vgg16, weights: random, dataset: tiny, layers: [shallow, deep]}
  other: {arch: resnet50, weights: random, dataset: tiny, layers: [only]}
decoders:
  net-deep: {dataset: tiny, encoder: net, layers: [deep], arch: upconv}
inversions: {}
degradations: {}
restorers: {}
holes: {}
inpainters: {}
completers: {}
baselines:
  tiny: {dataset: tiny, methods: [mean_colour, mean_image]}
metrics: {lpips_weights: random, lpips_sha256: null, seed: 0, bootstrap: 50}
report: {images: 3}
"""


def sections(**changes: object) -> report.Sections:
    given = {
        "datasets": {"tiny": Dataset(source="folder", path="pictures", size=SIZE, tile=SIZE)},
        "encoders": {
            name: report.EncoderNames(arch=arch, dataset="tiny", layers=list(LAYERS[name]))
            for name, arch in (("net", "vgg16"), ("other", "resnet50"))
        },
        "decoders": {
            name: report.DecoderNames(dataset="tiny", encoder=encoder, layers=layers)
            for name, (encoder, layers) in DECODERS.items()
        },
        "inversions": {},
        "holes": {},
        "inpainters": {},
        "completers": {},
        "degradations": {},
        "restorers": {},
        "baselines": {"tiny": BaselineRow(dataset="tiny", methods=list(BASELINES))},
        "metrics": MetricsRow(lpips_weights="random", lpips_sha256=None, seed=0, bootstrap=50),
        "report": report.ReportRow(images=3),
    }
    return report.Sections(**{**given, **changes})


def put_metrics(family: str, name: str, psnr: float, lpips: str = "lpips_untrained") -> None:
    """Metrics around a PSNR; images of one photograph differ from those of the next."""
    spread = np.repeat([-1.0, 0.0, 1.0], 4) + np.linspace(-0.1, 0.1, 12) * len(name)
    columns = {"psnr": psnr + spread, "ssim": psnr / 40 + spread / 100, "mse": 10 ** (-(psnr + spread) / 10)}
    columns[lpips] = 1 / (psnr + spread)
    groups = [key.split("_")[0] for key in KEYS]
    folder = layout.metrics(family, name)
    intervals = {metric: bootstrap(values, groups, 50, 0)._asdict() for metric, values in columns.items()}
    outputs.write_json(folder / "intervals.json", intervals)
    lines = zip(KEYS, groups, groups, *columns.values(), strict=True)
    outputs.write_csv(folder / "images.csv", ["key", "image", "group", *columns], lines)


def put_shards(folder: Path, seed: int) -> None:
    with outputs.folder(folder) as partial:
        path = partial / "test-000000.tar"
        with shards.writer(path) as put:
            for number, key in enumerate(KEYS):
                put(f"{key}.png", png(SIZE, SIZE, 100 * seed + number))
        splits = {split: [shards.describe(path)] for split in ("train", "val", "test")}
        shards.write_index(partial, {"dataset": "tiny", "size": SIZE}, splits)


def put_decoder(name: str, encoder: str, layers: list[str], seed: int) -> None:
    put_shards(layout.reconstructions("decoders", name), seed)
    card = {
        "arch": "upconv",
        "parameters": 1_234_000 + seed,
        "weights_origin": "random, seed 7" if encoder == "net" else "ImageNet (torchvision IMAGENET1K_V1)",
        "taps": [{"layer": layer, "shape": LAYERS[encoder][layer]} for layer in layers],
    }
    outputs.write_json(layout.model("decoders", name) / "card.json", card)
    curves = [[epoch, 1 / epoch, 1 / epoch, 20 + epoch + seed / 2] for epoch in (1, 2, 3)]
    columns = ["epoch", "train_mse", "val_mse", "val_psnr"]
    outputs.write_csv(layout.model("decoders", name) / "curves.csv", columns, curves)


def put_gates() -> None:
    def checks(sentence: str) -> list[dict[str, object]]:
        return [{"check": sentence, "table": "samples", "observed": "36 of 36", "passed": True, "examples": []}]

    split = {"samples": 12, "shards": 1, "groups": 3, "images": 3, "distinct_samples": 12}
    counts = {"files": 5, "rejected": 2, "images": 3, "splits": dict.fromkeys(("train", "val", "test"), split)}
    gate = {"name": "tiny", "passed": True, "checks": checks("no split is empty"), "counts": counts}
    outputs.write_json(layout.validation("tiny"), gate)
    for encoder, layers in LAYERS.items():
        for layer, shape in layers.items():
            values = {"samples": 12, "distinct": 12, "lowest": 0.0, "highest": 2.5}
            counts = {"shape": shape, "dtype": "float16", "splits": dict.fromkeys(("train", "val", "test"), values)}
            gate = {"name": layer, "passed": True, "checks": checks("every value is finite"), "counts": counts}
            outputs.write_json(layout.validation(f"features/{encoder}/{layer}/result"), gate)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        folder = layout.shards("tiny")
        put_shards(folder, 0)
        lines = [
            (key, split, "test-000000.tar", f"{split[0]}{key}", key.split("_")[0])
            for split in ("train", "val", "test")
            for key in KEYS
        ]
        outputs.write_csv(folder / "samples.csv", ["key", "split", "shard", "image", "group"], lines)
        reasons = {"a.jpg": "the file is empty", "b.jpg": "damaged <b>header</b>", "c.jpg": "damaged image: cut off"}
        quarantine.write(folder / "rejected.csv", reasons.items())
        for seed, (name, (encoder, layers)) in enumerate(DECODERS.items(), start=1):
            put_decoder(name, encoder, layers, seed)
            put_metrics("decoders", name, PSNR[name])
        for method, psnr in BASELINES.items():
            put_metrics("baselines", f"tiny/{method}", psnr)
        put_gates()
    return root


@pytest.fixture
def project(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project as the working directory."""
    root = tmp_path / "project"
    shutil.copytree(built, root)
    monkeypatch.chdir(root)
    return root


def written(out: Path = Path("reports")) -> dict[str, str]:
    made = [path for path in out.rglob("*") if path.is_file() and "validation" not in path.parts[:-1]]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def text(page: str = "index.html") -> str:
    """What a reader sees of a page, white space evened out."""
    body = Path("reports", page).read_text(encoding="utf-8").partition("</style>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def line(name: str) -> str:
    """The table's line of a row."""
    body = Path("reports/index.html").read_text(encoding="utf-8")
    found = [row for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL) if f"<code>{name}</code>" in row]
    assert len(found) == 1, name
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def test_writes_pages_figures_and_tables(project: Path) -> None:
    report.write(sections(), Path("reports"))
    assert set(written()) == {
        "index.html",
        "validation.html",
        "figures/curves-tiny.png",
        "figures/depth-tiny.png",
        "figures/grid-net.png",
        "figures/grid-other.png",
        "tables/curves.csv",
        "tables/quality.csv",
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
    assert not re.search(r"<script|https?:", page)


def test_is_the_same_bit_for_bit(project: Path, tmp_path: Path) -> None:
    import matplotlib

    report.write(sections(), Path("reports"))
    first = written()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):  # as a user's matplotlibrc would have it
        report.write(sections(), tmp_path / "again")
    assert written(tmp_path / "again") == first


def test_table_has_every_row_with_the_values_of_its_metrics(project: Path) -> None:
    report.write(sections(), Path("reports"))
    for name, (encoder, layers) in DECODERS.items():
        values = results.read_json(layout.metrics("decoders", name) / "intervals.json")
        for metric, digits in (("psnr", 2), ("ssim", 3), ("mse", 5), ("lpips_untrained", 4)):
            mean, low, high = (f"{values[metric][part]:.{digits}f}" for part in ("mean", "low", "high"))
            assert f"{mean} {low} to {high}" in line(name)
        gain = PSNR[name] - BASELINES["mean_colour"]
        assert f"{gain:+.2f}".replace("-", "\N{MINUS SIGN}") in line(name)
        features = " + ".join(layers) if len(layers) > 1 else "×".join(map(str, LAYERS[encoder][layers[0]]))
        assert features in line(name)
        assert f" 1 234 00{list(DECODERS).index(name) + 1} " in line(name)
    for method, psnr in BASELINES.items():
        assert re.search(rf"{method} (An? |The |Each )[^0-9]+ {psnr:.2f} ", text())
    assert "it knows the true image's mean" in text()


def test_lines_go_from_shallow_to_deep(project: Path) -> None:
    report.write(sections(), Path("reports"))
    page = Path("reports/index.html").read_text(encoding="utf-8")
    order = ["net-shallow", "net-deep", "net-deep-light", "net-skip", "other-only"]
    assert re.findall(r"<small><code>([^<]+)</code>", page) == order
    with Path("reports/tables/quality.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["row"] for row in table] == [*order, "tiny/mean_colour", "tiny/mean_image"]
    assert [row["depth"] for row in table] == ["1", "2", "2", "2", "1", "", ""]
    for row in table:
        values = results.read_json(layout.metrics(row["family"], row["row"]) / "intervals.json")["psnr"]
        assert [float(row[name]) for name in ("psnr", "psnr_low", "psnr_high")] == [
            values["mean"],
            values["low"],
            values["high"],
        ]
    with Path("reports/tables/curves.csv").open() as stream:
        curves = list(csv.DictReader(stream))
    assert [(row["row"], row["epoch"]) for row in curves] == [(name, str(n)) for name in order for n in (1, 2, 3)]
    assert curves[0]["val_psnr"] == "22.0"


def test_a_losing_row_says_so(project: Path) -> None:
    report.write(sections(), Path("reports"))
    assert "Loses to mean_colour in PSNR, SSIM, MSE, lpips_untrained" in line("net-deep-light")
    assert "1 of 5 rows loses to a baseline" in text()
    assert all("Loses" not in line(name) for name in DECODERS if name != "net-deep-light")
    put_metrics("decoders", "net-deep-light", 18.0)
    report.write(sections(), Path("reports"))
    assert "Loses" not in text()
    assert "All 5 rows beat every baseline" in text()


def test_a_data_set_without_baselines(project: Path) -> None:
    report.write(sections(baselines={}), Path("reports"))
    assert "There are no baselines" in text()
    assert "beat" not in text()


def test_removed_rows_leave_nothing(project: Path) -> None:
    put_decoder("net-removed", "net", ["deep"], 9)
    put_metrics("decoders", "net-removed", 25.0)
    put_metrics("baselines", "tiny/median", 15.0)
    Path("reports/figures").mkdir(parents=True)
    Path("reports/figures/grid-removed.png").write_bytes(b"")
    report.write(sections(), Path("reports"))
    assert "figures/grid-removed.png" not in written()
    for name in ("index.html", "validation.html", "tables/quality.csv", "tables/curves.csv"):
        content = Path("reports", name).read_text(encoding="utf-8")
        assert "removed" not in content
        assert "median" not in content


def test_untrained_lpips_is_never_called_lpips(project: Path) -> None:
    report.write(sections(), Path("reports"))
    for page in ("index.html", "validation.html"):
        assert not re.search(r"lpips(?!_untrained)", Path("reports", page).read_text(encoding="utf-8"), re.IGNORECASE)
    assert "whose trunk is untrained (random weights, seed 0)" in text()
    for name, psnr in PSNR.items():
        put_metrics("decoders", name, psnr, "lpips")
    for method, psnr in BASELINES.items():
        put_metrics("baselines", f"tiny/{method}", psnr, "lpips")
    report.write(sections(), Path("reports"))
    assert "LPIPS ↓" in text()
    assert "untrained (" not in text()


def test_says_what_the_run_was(project: Path) -> None:
    report.write(sections(), Path("reports"))
    assert "random weights, seed 7: an untrained network" in text()
    assert "weights: ImageNet (torchvision IMAGENET1K_V1)" in text()
    assert "tiny (source: folder), square tiles of 16 × 16 px: 12 to train" in text()
    assert "2 × damaged, such as b.jpg: damaged <b>header</b>" in text()  # escaped: it reached the reader as it is
    assert "1 × empty, such as a.jpg: the file is empty" in text()
    assert "over the 3 groups" in text()


def test_validation_page_tells_each_check(project: Path) -> None:
    report.write(sections(), Path("reports"))
    page = text("validation.html")
    assert "1 of 1 checks passed. 3 images taken from 5 files, 2 set aside." in page
    assert "No split is empty. 36 of 36 samples ✓ passed" in page
    assert "Every value is finite. ✓ passed 36 of 36 samples ✓ passed" in page
    assert "shallow 4 × 16 × 16 float16 12 0 to 2.5" in page
    gate = results.read_json(layout.validation("tiny"))
    gate["checks"][0]["passed"] = False
    outputs.write_json(layout.validation("tiny"), gate)
    report.write(sections(), Path("reports"))
    assert "0 of 1 checks passed" in text("validation.html")
    assert "✗ failed" in text("validation.html")


def test_grids_show_every_photograph_with_its_numbers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grids = {}
    monkeypatch.setattr(figures, "grid", lambda path, columns, rows: grids.update({path.name: (columns, rows)}))
    report.write(sections(), Path("reports"))
    columns, rows = grids["grid-net.png"]
    assert [title for title, _ in columns] == ["shallow", "deep", "deep light", "all 2 layers"]
    assert [row.name for row in rows] == list(GROUPS)
    key = "hat_y0002_x0000"  # the middle of the four tiles of the second photograph
    originals = {key: np.asarray(decode(data)) for key, data, _ in shards.read(layout.shards("tiny"), "test")}
    skip = shards.read(layout.reconstructions("decoders", "net-skip"), "test")
    reconstructions = {key: np.asarray(decode(data)) for key, data, _ in skip}
    assert np.array_equal(rows[1].original, originals[key])
    assert np.array_equal(rows[1].images[3], reconstructions[key])
    measured = results.Result("decoders", "net-skip").images[key]["psnr"]
    assert rows[1].captions[3] == f"{float(measured):.1f} dB"


def test_more_grid_images_than_test_images(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grids = []
    monkeypatch.setattr(figures, "grid", lambda path, columns, rows: grids.append(rows))
    report.write(sections(report=report.ReportRow(images=99)), Path("reports"))
    assert [len(rows) for rows in grids] == [len(KEYS)] * 2


def test_a_large_figure_is_reduced(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(8)]
    rows = [figures.GridRow("noise", noise[n], [noise[n + 1]], ["5 dB"]) for n in range(7)]
    figures.grid(tmp_path / "grid.png", [("layer", "1×1×1")], rows)
    assert (tmp_path / "grid.png").stat().st_size <= figures.MAX_BYTES
    with Image.open(tmp_path / "grid.png") as image:
        pixels = np.asarray(image)
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    shown = pixels[46 : 46 + 128, 10 : 10 + 128].astype(int)
    assert 0 < np.abs(shown - noise[0]).max() <= 8


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (layout.metrics("decoders", "net-skip") / "intervals.json", "metrics/decoders/net-skip/intervals.json"),
        (layout.metrics("baselines", "tiny/mean_image"), "metrics/baselines/tiny/mean_image/intervals.json"),
        (layout.model("decoders", "net-deep") / "card.json", "data/models/decoders/net-deep/card.json"),
        (layout.validation("features/net/deep/result"), "reports/validation/features/net/deep/result.json"),
        (layout.reconstructions("decoders", "net-deep"), "data/reconstructions/decoders/net-deep"),
    ],
)
def test_what_is_missing_is_named(project: Path, missing: Path, named: str) -> None:
    if missing.is_dir():
        shutil.rmtree(missing)
    else:
        missing.unlink()
    with pytest.raises(AfterimageError, match=re.escape(named)):
        report.write(sections(), Path("reports"))
    assert not Path("reports/index.html").exists()


def test_metrics_of_other_images_are_refused(project: Path) -> None:
    path = layout.metrics("baselines", "tiny/mean_colour") / "images.csv"
    path.write_text(path.read_text().replace("cup_y0000", "cup_y9999"))
    with pytest.raises(AfterimageError, match="tiny/mean_colour: metrics of different images"):
        report.write(sections(), Path("reports"))


def test_rows_that_do_not_fit_their_encoder(project: Path) -> None:
    row = report.DecoderNames(dataset="tiny", encoder="net", layers=["deeper"])
    with pytest.raises(ParamsError, match=r"decoders\.x\.layers.*`deeper`.*it keeps shallow, deep"):
        report.write(sections(decoders={"x": row}), Path("reports"))
    row = report.DecoderNames(dataset="tiny", encoder="nets", layers=["deep"])
    with pytest.raises(ParamsError, match=r"decoders\.x\.encoder.*`nets`"):
        report.write(sections(decoders={"x": row}), Path("reports"))


def test_stage_runs_without_torch_and_fails_in_a_line(project: Path) -> None:
    Path("params.yaml").write_text(PARAMS)
    code = f"import runpy, sys; runpy.run_path({str(STAGE)!r}, run_name='__main__'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert "21.37" in line("net-deep")
    assert "net-skip" not in text()

    (layout.metrics("decoders", "net-deep") / "intervals.json").unlink()
    failed = subprocess.run([sys.executable, str(STAGE)], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("report: metrics/decoders/net-deep/intervals.json: there is no such file")
