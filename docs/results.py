"""Write the tables of documents from results that are committed: `python docs/results.py`.

`reports/measured/` holds those of the default run, and `presets/results/<preset>/` what a run of a preset left, as its
stages wrote it: `<row>/<case>/intervals.json` and `<row>/provenance.json`, and the params.yaml and dvc.lock of the run.
Of fills images.csv is there too, which holds what paired differences are of.
`python docs/results.py PROJECT PRESET` takes them from the project where it ran, and its models into the zoo
(docs/zoo.py).
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from afterimage.evaluation.comparing import difference
from afterimage.evaluation.metrics import bootstrap
from afterimage.evaluation.results import read_csv

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    ROOT / f"docs/{name}.md" for name in ("features", "inversion", "restoration", "inpainting", "default-run")
)
RESULTS, MEASURED = ROOT / "presets/results", ROOT / "reports/measured"
METHODS = ROOT / "benchmarks/methods"
TABLE = re.compile(
    r"(<!-- (results|fills|textures|features|methods): (\S+(?: \S+)*) -->\n).*?(\n<!-- end -->)", re.DOTALL
)
SHOWN = ("psnr", "psnr_tone", "ssim", "ssim_tone")
LUMA = ("psnr_y", "ssim_y")
SECTIONS = ("datasets", "encoders", "observations", "reconstructors", "searches")
DIGITS = {"psnr": 2, "psnr_tone": 2, "psnr_y": 2}
FILLS = {
    "hole_rmse": "hole RMSE (95 %)",
    "hole_psnr": "PSNR",
    "hole_ssim": "SSIM",
    "hole_lpips_untrained": "lpips_untrained",
    "band_rmse": "band RMSE",
    "hole_sharpness": "sharpness",
    "seam": "seam",
}
THIRDS = ("least texture", "in between", "most texture")


def run_of(row: str) -> Path:
    """The results that a row is in: those of a preset, or else of the default run."""
    return next((preset for preset in sorted(RESULTS.iterdir()) if (preset / row).is_dir()), MEASURED)


def means(folder: Path, case: str) -> dict[str, float]:
    """The means of a row, or of a baseline of an observation, by metric."""
    return {name: found["mean"] for name, found in _intervals(folder / case).items()}


def table(row: str, observation: str) -> str:
    """Each level of an observation: the row beside the baseline that is best by each metric."""
    own_folder, plain_folder = (run_of(row) / each for each in (row, observation))
    levels, plain = _cases(own_folder), _cases(plain_folder)
    levels = list(dict.fromkeys(case.partition("/")[0] for case in plain)) if len(levels) < 2 else levels
    names = [name for name in (*SHOWN, *LUMA) if name in means(plain_folder, plain[0])]
    heads = {"psnr": "PSNR", "psnr_tone": "after tone", "ssim": "SSIM", "ssim_tone": "after tone"}
    heads |= {"psnr_y": "PSNR of luma", "ssim_y": "SSIM of luma"}
    lines = [f"| | {' | '.join(heads[name] for name in names)} |", f"| --- |{' ---: |' * len(names)}"]
    for level in levels:
        own = means(own_folder, level if (own_folder / level / "intervals.json").is_file() else "test")
        rivals = {case.partition("/")[2]: means(plain_folder, case) for case in plain if case.startswith(f"{level}/")}
        best = {name: max(rivals, key=lambda rival: rivals[rival][name]) for name in names}
        shown = [
            (
                f"**{own[name]:.{DIGITS.get(name, 3)}f}**"
                if own[name] > rivals[best[name]][name]
                else f"{own[name]:.{DIGITS.get(name, 3)}f}"
            )
            for name in names
        ]
        lines.append(f"| {level}: `{row}` | {' | '.join(shown)} |")
        plainly = [f"{rivals['bicubic'][name]:.{DIGITS.get(name, 3)}f}" for name in names]
        lines.append(f"| as it is (bicubic) | {' | '.join(plainly)} |")
        beside = [f"{rivals[best[name]][name]:.{DIGITS.get(name, 3)}f} `{best[name]}`" for name in names]
        lines.append(f"| the best baseline | {' | '.join(beside)} |")
    return "\n".join(lines)


def features(*observations: str) -> str:
    """The decoders that are given these observations, those trained beside other images too, and the baselines, which
    are the same for all."""
    run = run_of(observations[0])
    data = YAML(typ="safe", pure=True).load((ROOT if run is MEASURED else run) / "params.yaml")
    rows = {
        **data["reconstructors"],
        **{name: row for name, row in data["searches"].items() if row["kind"] == "transfer"},
    }
    lines = ["| row | from | PSNR in dB (95 %) | SSIM | MSE |", "| --- | --- | ---: | ---: | ---: |"]
    shown = [
        (f"`{name}`", str(row["observation"]).replace("/", " "), f"{name}/test")
        for name, row in rows.items()
        if row["observes"] == "features" and row["observation"].partition("/")[0] in observations
    ]
    plain = observations[0]
    shown += [(f"`{case}`", "nothing is learned", f"{plain}/{case}") for case in _cases(run / plain)]
    for name, given, case in shown:
        found = _intervals(run / case)
        psnr, ssim, mse = (found[metric] for metric in ("psnr", "ssim", "mse"))
        interval = f"{psnr['mean']:.2f} ({psnr['low']:.1f} to {psnr['high']:.1f})"
        lines.append(f"| {name} | {given} | {interval} | {ssim['mean']:.3f} | {mse['mean']:.5f} |")
    return "\n".join(lines)


def fills(row: str, observation: str) -> str:
    """The cases of a row that fills holes, and all baselines, the least error first."""
    folders = [run_of(each) / each for each in (row, observation)]
    found = {
        (f"**{row}/{case}**" if folder is folders[0] else f"`{case}`"): _intervals(folder / case)
        for folder in folders
        for case in _cases(folder)
    }
    lines = [f"| | {' | '.join(FILLS.values())} |", f"| --- |{' ---: |' * len(FILLS)}"]
    for name, metrics in sorted(found.items(), key=lambda item: item[1]["hole_rmse"]["mean"]):
        shown = [f"{metrics[metric]['mean']:.{2 if metric == 'hole_psnr' else 3}f}" for metric in FILLS]
        error = metrics["hole_rmse"]
        shown[0] = f"{error['mean']:.4f} ({error['low']:.4f} to {error['high']:.4f})"
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def textures(row: str, observation: str) -> str:
    """What a row's cases have over the best baseline in hole RMSE, image by image: all, and each third by texture."""
    own, plain = (run_of(each) / each for each in (row, observation))
    metrics = YAML(typ="safe", pure=True).load(run_of(row) / "params.yaml")["metrics"]
    rivals = {case: _images(plain / case) for case in _cases(plain)}
    keys = sorted(next(iter(rivals.values())), key=lambda key: float(rivals["black"][key]["texture"]))
    parts = {"all": keys} | dict(zip(THIRDS, np.array_split(keys, 3), strict=True))
    lines = ["| | images | hole RMSE | best baseline | difference (95 %) |", "| --- | ---: | ---: | ---: | ---: |"]
    for case in _cases(own):
        mine = _images(own / case)
        for part, chosen in parts.items():
            errors = {
                name: [float(images[key]["hole_rmse"]) for key in chosen]
                for name, images in {**rivals, row: mine}.items()
            }
            best = min(rivals, key=lambda name: np.mean(errors[name]))
            groups = [mine[key]["group"] for key in chosen]
            found = difference([errors[best]], [errors[row]], groups, metrics["bootstrap"], metrics["seed"])
            own_mean, rival_mean = np.mean(errors[row]), np.mean(errors[best])
            gained = f"{100 * found.mean / rival_mean:+.1f} % ({found.low:+.4f} to {found.high:+.4f})"
            name = f"{row}/{case}, {part}"
            lines.append(f"| {name} | {len(chosen)} | {own_mean:.4f} | {rival_mean:.4f} `{best}` | {gained} |")
    return "\n".join(lines)


def methods(*names: str) -> str:
    """Ways to invert at equal seconds, as `benchmarks/methods.py` measured them: PSNR, and in brackets how far the
    first search is ahead on the same images, with its interval."""
    runs = [json.loads((METHODS / f"{name}.json").read_text(encoding="utf-8")) for name in names]
    heads = [f"{run['layer']}, {run['size']} px, {run['seconds']:g} s" for run in runs]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(runs)}"]
    for method in runs[0]["methods"]:
        cells = []
        for run in runs:
            own, best = (np.array(run["methods"][name]["psnr"]) for name in (method, "search from the decoder"))
            ahead = bootstrap(best - own, [str(place) for place in range(len(own))], 2000, 0)
            beside = f" ({ahead.mean:.1f}: {ahead.low:.1f} to {ahead.high:.1f})" if ahead.mean else ""
            cells.append(f"{own.mean():.2f}{beside}")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cases(folder: Path) -> list[str]:
    return list(json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["cases"])


def _intervals(folder: Path) -> dict[str, dict[str, float]]:
    return dict(json.loads((folder / "intervals.json").read_text(encoding="utf-8"))["metrics"])


def _images(folder: Path) -> dict[str, dict[str, str]]:
    return {line["key"]: line for line in read_csv(folder / "images.csv", ("key", "group", "hole_rmse"))}


def written(text: str) -> str:
    """A page with its tables as the results are."""
    makes = {"results": table, "fills": fills, "textures": textures, "features": features, "methods": methods}
    return TABLE.sub(lambda found: f"{found[1]}{makes[found[2]](*found[3].split())}{found[4]}", text)


def take(project: Path, preset: str) -> None:
    """Put what a run of a preset measured in a project in the place of what is committed, and its models in the zoo."""
    run = RESULTS / preset
    shutil.rmtree(run, ignore_errors=True)
    for path in sorted((project / "reports/measured").rglob("*.*")):
        of_fills = path.name == "images.csv" and "hole_rmse" in path.read_text(encoding="utf-8").partition("\n")[0]
        if path.name in ("intervals.json", "provenance.json") or of_fills:
            out = run / path.relative_to(project / "reports/measured")
            out.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out)
    shutil.copyfile(project / "params.yaml", run / "params.yaml")
    _lock(project, run / "dvc.lock")
    subprocess.run([sys.executable, ROOT / "docs/zoo.py", preset, project / "data/models"], check=True)


def _lock(project: Path, out: Path) -> None:
    """The run's dvc.lock without the stages of rows that its params.yaml does not have."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.sort_base_mapping_type_on_output = False, False  # type: ignore[assignment]
    params = yaml.load(project / "params.yaml")
    rows = {name for section in SECTIONS for name in params.get(section) or {}}
    lock = yaml.load(project / "dvc.lock")
    lock["stages"] = {name: stage for name, stage in lock["stages"].items() if name.partition("@")[2] in rows}
    yaml.dump(lock, out)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        take(Path(sys.argv[1]), sys.argv[2])
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
