"""Inpainting in the report: rows and baselines within the hole, along its border and over the whole image."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from afterimage import figures, layout
from afterimage.errors import ParamsError
from afterimage.figures import Curve, GridRow
from afterimage.images import decode
from afterimage.report import shared
from afterimage.report.sections import Sections
from afterimage.results import HOLE_BASELINES, METRICS, Baseline, Result, best_of, read_csv, read_json, shown_value

FAMILY = "inpainters"
BASELINES = "baselines-holes"
SHOWN = ("hole_rmse", "hole_psnr", "hole_ssim", "band_rmse", "band_ssim", "psnr", "ssim")
"""Besides LPIPS, under whichever name it has."""
IN_GRID = ("telea", "biharmonic")
"""Baselines beside the rows in the grid of images."""


@dataclass(frozen=True)
class Inpainter:
    """A row of `inpainters` with what is known of it after training."""

    name: str

    @cached_property
    def card(self) -> dict[str, Any]:
        return read_json(layout.model(FAMILY, self.name) / "card.json")

    @cached_property
    def curves(self) -> list[dict[str, str]]:
        return read_csv(layout.model(FAMILY, self.name) / "curves.csv")

    @cached_property
    def result(self) -> Result:
        return Result(FAMILY, self.name)

    @property
    def about(self) -> str:
        """Its objective and its network in a few words."""
        loss = self.card["loss"]
        terms = {"adversarial": "adversarial", "l1": "L1", "l2": "L2"}
        words = " + ".join(f"{loss[name]:g} {word}".removeprefix("1 ") for name, word in terms.items() if loss[name])
        more = f", hole × {loss['hole']:g}" if loss["hole"] != 1 else ""
        return f"{words}{more}; {self.card['blocks']}, {self.card['start']} start"


def parts(sections: Sections, folder: Path) -> list[shared.Part]:
    """A part for each kind of holes that has inpainters, its figures drawn into `folder`.

    Raises:
        ParamsError: a row names holes that there are not.
    """
    found = []
    for holes in sections.holes:
        if rows := [row for name, row in _rows(sections).items() if sections.inpainters[name].holes == holes]:
            found.append(_part(sections, holes, rows, folder))
    return found


def lines(sections: Sections) -> list[shared.Line]:
    """Rows and baselines in the table of all rows."""
    rows = [shared.Line(row.result, layer=sections.inpainters[name].holes) for name, row in _rows(sections).items()]
    methods = [shared.Line(baseline.result, layer=name) for name in sections.holes for baseline in _baselines(name)]
    return rows + methods


def _rows(sections: Sections) -> dict[str, Inpainter]:
    for name, row in sections.inpainters.items():
        if row.holes not in sections.holes:
            raise ParamsError(f"`{FAMILY}.{name}.holes`: there is no row `{row.holes}` in `holes`")
    return {name: Inpainter(name) for name in sections.inpainters}


def _baselines(holes: str) -> list[Baseline]:
    return [Baseline(method, Result(BASELINES, f"{holes}/{method}")) for method in HOLE_BASELINES]


def _part(sections: Sections, holes: str, rows: Sequence[Inpainter], folder: Path) -> shared.Part:
    baselines = _baselines(holes)
    first = rows[0].result
    lpips = next(name for name in first.intervals if name.startswith("hole_lpips"))
    shown = [*SHOWN, lpips]
    lost = {row.name: shared.losses(row.result, baselines, shown) for row in rows}
    keys = shared.spread(sorted(first.images), sections.report.images)
    _grid(folder / f"holes-{holes}.png", sections.holes[holes].dataset, holes, rows, keys)
    figures.training_curves(
        folder / f"holes-{holes}-curves.png", {row.name: _losses(row) for row in rows}, "training loss", True
    )
    for row in rows:
        _samples(folder / f"holes-{holes}-{row.name}.png", row)
    best = min(rows, key=lambda row: row.result.intervals["hole_rmse"].mean)
    rival = best_of(baselines, "hole_rmse")
    assert rival is not None
    return {
        "template": "inpainters.html",
        "holes": holes,
        "row": sections.holes[holes],
        "shown": [METRICS[name] for name in shown],
        "lines": [
            {
                "name": row.name,
                "about": row.about,
                "parameters": shared.parameters(row.card),
                "values": _values(row.result, shown),
                "gain": shared.gain_on_the_best(row.result, baselines, sections.metrics),
                "losses": lost[row.name],
            }
            for row in rows
        ],
        "baselines": [
            {"method": each.method, "about": HOLE_BASELINES[each.method], "values": _values(each.result, shown)}
            for each in baselines
        ],
        "rows": len(rows),
        "losing": sum(bool(methods) for methods in lost.values()),
        "best": {"name": best.name, "rmse": best.result.intervals["hole_rmse"].mean},
        "rival": {"name": rival.method, "rmse": rival.result.intervals["hole_rmse"].mean},
        "missing": float(np.mean([float(line["missing"]) for line in first.images.values()])),
        "images": len(keys),
        "groups": len(set(first.groups)),
        "few_groups": len(set(first.groups)) < shared.FEW_GROUPS,
        "error_top": figures.ERROR_TOP,
    }


def _values(result: Result, shown: Sequence[str]) -> list[dict[str, str]]:
    return [shown_value(result.intervals[name], METRICS[name].digits) for name in shown]


def _losses(row: Inpainter) -> list[Curve]:
    """The terms of a row's objective, and the squared error of the validation images' holes."""
    terms = [name for name in row.curves[0] if name.startswith("train_")] + ["val_hole_mse"]
    epochs = [float(line["epoch"]) for line in row.curves]
    labels = {name: name.removeprefix("train_").replace("val_hole_mse", "validation, hole MSE") for name in terms}
    return [Curve(labels[name], epochs, [float(line[name]) for line in row.curves]) for name in terms]


def _grid(path: Path, dataset: str, holes: str, rows: Sequence[Inpainter], keys: Sequence[str]) -> None:
    originals = shared.images(layout.shards(dataset), keys)
    results = [Result(BASELINES, f"{holes}/{method}") for method in IN_GRID] + [row.result for row in rows]
    given = shared.images(layout.reconstructions(BASELINES, f"{holes}/black"), keys)
    found = [shared.images(layout.reconstructions(each.family, each.name), keys) for each in results]

    figures.grid(
        path,
        [("given", "black is missing"), *((each.name.rpartition("/")[2], "") for each in results)],
        [
            GridRow(
                rows[0].result.images[key]["image"],
                originals[key],
                [given[key], *(images[key] for images in found)],
                ["", *(f"hole {float(each.images[key]['hole_psnr']):.1f} dB" for each in results)],
            )
            for key in keys
        ],
    )


def _samples(path: Path, row: Inpainter) -> None:
    """What a row made of the same validation images as training went on."""
    folder = layout.model(FAMILY, row.name) / "samples"
    epochs = sorted(int(file.stem) for file in folder.glob("[0-9]*.png"))
    names = {"holes": "given", **{f"{epoch:04d}": f"epoch {epoch}" for epoch in epochs}, "originals": "original"}
    strips = [(words, np.asarray(decode((folder / f"{name}.png").read_bytes()))) for name, words in names.items()]
    figures.strips(path, f"{row.name}, as training goes", strips)
