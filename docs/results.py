"""Write the tables of docs/restoration.md from results that are committed: `python docs/results.py`.

`reports/measured/` holds those of the default run, and `presets/results/<preset>/` what a run of a preset left, as its
stages wrote it: `<row>/<case>/intervals.json` and `<row>/provenance.json`, and the params.yaml and dvc.lock of the run.
`python docs/results.py PROJECT PRESET` takes them from the project where it ran, and its models into the zoo
(docs/zoo.py).
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/restoration.md"
RESULTS, MEASURED = ROOT / "presets/results", ROOT / "reports/measured"
TABLE = re.compile(r"(<!-- results: (\S+) (\S+) -->\n).*?(\n<!-- end -->)", re.DOTALL)
SHOWN = ("psnr", "psnr_tone", "ssim", "ssim_tone")
LUMA = ("psnr_y", "ssim_y")
SECTIONS = ("datasets", "encoders", "observations", "reconstructors", "searches")
DIGITS = {"psnr": 2, "psnr_tone": 2, "psnr_y": 2}


def run_of(row: str) -> Path:
    """The results that a row is in: those of a preset, or else of the default run."""
    return next((preset for preset in sorted(RESULTS.iterdir()) if (preset / row).is_dir()), MEASURED)


def means(folder: Path, case: str) -> dict[str, float]:
    """The means of a row, or of a baseline of an observation, by metric."""
    data = json.loads((folder / case / "intervals.json").read_text(encoding="utf-8"))
    return {name: found["mean"] for name, found in data["metrics"].items()}


def table(row: str, observation: str) -> str:
    """Each level of an observation: the row beside the baseline that is best by each metric."""
    own_folder, plain_folder = (run_of(row) / each for each in (row, observation))
    levels = json.loads((own_folder / "provenance.json").read_text(encoding="utf-8"))["cases"]
    plain = json.loads((plain_folder / "provenance.json").read_text(encoding="utf-8"))["cases"]
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


def written(text: str) -> str:
    """The page with its tables as the results are."""
    return TABLE.sub(lambda found: f"{found[1]}{table(found[2], found[3])}{found[4]}", text)


def take(project: Path, preset: str) -> None:
    """Put what a run of a preset measured in a project in the place of what is committed, and its models in the zoo."""
    run = RESULTS / preset
    shutil.rmtree(run, ignore_errors=True)
    for path in sorted((project / "reports/measured").rglob("*.json")):
        if path.name in ("intervals.json", "provenance.json"):
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
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
