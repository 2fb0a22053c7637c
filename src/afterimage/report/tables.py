"""Tables of results for people, read from params.yaml and metrics/ without a heavy import."""

import json
from pathlib import Path
from typing import Any

from afterimage.core import layout, params
from afterimage.core.errors import ParamsError
from afterimage.evaluation.results import HOLE_BASELINES, INVERSIONS

FAMILIES = ("decoders",)
"""Sections of params.yaml whose rows are trained."""


def results(project: Path) -> list[dict[str, Any]]:
    """A line a row, in the order of params.yaml: learned rows first, then the baselines.

    Raises:
        ParamsError: params.yaml is missing or not what it should be.
    """
    data = params.load(project / "params.yaml")
    lines = []
    for family in FAMILIES:
        for name, row in (data.get(family) or {}).items():
            reads = f"{row.get('encoder')} {' + '.join(row.get('layers', []))}"
            trained = (project / layout.model(family, name) / "card.json").is_file()
            lines.append(
                {"row": name, "reads": reads, "trained": "yes" if trained else "no", **summary(project, family, name)}
            )
    for name, row in (data.get("inversions") or {}).items():
        reads = f"{row.get('encoder')} {row.get('layer')}"
        for method in INVERSIONS:
            numbers = summary(project, "inversions", f"{name}/{method}")
            lines.append({"row": f"{name}/{method}", "reads": reads, "trained": "-", **numbers})
    degradations = data.get("degradations") or {}
    for name, row in (data.get("restorers") or {}).items():
        trained = (project / layout.model("restorers", name) / "card.json").is_file()
        about = {"reads": f"CCTV {row.get('degradations')}", "trained": "yes" if trained else "no"}
        for level in degradations.get(row.get("degradations"), {}).get("levels", []):
            lines.append({"row": f"{name}/{level}", **about, **summary(project, "restorers", f"{name}/{level}")})
    for name, row in degradations.items():
        for place in (f"{name}/{level}/{method}" for level in row["levels"] for method in row["baselines"]):
            numbers = summary(project, "baselines-degradations", place)
            lines.append({"row": place, "reads": "baseline", "trained": "-", **numbers})
    for family in ("inpainters", "completers"):
        for name, row in (data.get(family) or {}).items():
            trained = (project / layout.model(family, name) / "card.json").is_file()
            reads = f"holes {row.get('holes')}"
            numbers = _of_holes(summary(project, family, name))
            lines.append({"row": name, "reads": reads, "trained": "yes" if trained else "no", **numbers})
    for name in data.get("holes") or {}:
        for method in HOLE_BASELINES:
            numbers = _of_holes(summary(project, "baselines-holes", f"{name}/{method}"))
            lines.append({"row": f"{name}/{method}", "reads": "baseline", "trained": "-", **numbers})
    for name, row in (data.get("baselines") or {}).items():
        for method in row.get("methods", []):
            numbers = summary(project, "baselines", f"{name}/{method}")
            lines.append({"row": f"{name}/{method}", "reads": "baseline", "trained": "-", **numbers})
    return lines


def summary(project: Path, family: str, row: str) -> dict[str, Any]:
    """The numbers of a row without the count of images; empty if it was not evaluated."""
    path = project / layout.metrics(family, row) / "summary.json"
    if not path.is_file():
        return {}
    numbers = json.loads(path.read_text(encoding="utf-8"))
    numbers.pop("images", None)
    return dict(
        sorted(numbers.items(), key=lambda item: ("psnr", "ssim").index(item[0]) if item[0] in ("psnr", "ssim") else 9)
    )


def _of_holes(numbers: dict[str, Any]) -> dict[str, Any]:
    """Of the many numbers of filled holes those that other rows have too, and the error within the hole."""
    regions = ("hole_", "band_", "missing", "bits_whole", "histogram_", "coverage", "spread")
    return {name: value for name, value in numbers.items() if name == "hole_rmse" or not name.startswith(regions)}


def require_row(project: Path, family: str, name: str) -> dict[str, Any]:
    """The plain data of a row.

    Raises:
        ParamsError: params.yaml has no such row; the text lists those it has.
    """
    rows = params.load(project / "params.yaml").get(family) or {}
    if name not in rows:
        raise ParamsError(f"no row `{name}` in {family}; there are {', '.join(rows) or 'none'}")
    return rows[name]
