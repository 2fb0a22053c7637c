"""Restoration in the report: levels by methods, each step alone, subgroups, the seed's protocol and parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from afterimage import figures, layout
from afterimage.errors import AfterimageError, ParamsError
from afterimage.figures import GridRow
from afterimage.metrics import PSNR_CAP, Interval
from afterimage.reconstructors import enhancement
from afterimage.report import shared
from afterimage.report.sections import DegradationNames, RestorerNames, Sections
from afterimage.results import METRICS, Baseline, Result, best_of, read_csv, read_json, shown_value

FAMILY = "restorers"
GRID_IMAGES = 2

ABOUT = {
    "identity": "the frame as it is; a small one with its pixels repeated",
    "bicubic": "the frame, bicubic where it is small",
    "gamma": "then brightened by a power of 0.8",
    "nlm": "then non-local means",
    "gamma_nlm": "then both, the preprocessing of the seed",
    "unsharp": "then unsharp masking",
    "exposure_nlm": "then brought to the mean of a well-lit photograph, and non-local means",
}


@dataclass(frozen=True)
class Restorer:
    """A row of `restorers` with what was measured."""

    name: str
    row: RestorerNames

    @cached_property
    def card(self) -> dict[str, Any]:
        return read_json(layout.model(FAMILY, self.name) / "card.json")

    @cached_property
    def results(self) -> dict[str, Result]:
        """By the levels of its degradations."""
        return {level: Result(FAMILY, f"{self.name}/{level}") for level in self.levels}

    @cached_property
    def levels(self) -> list[str]:
        found = layout.metrics(FAMILY, self.name)
        return list(dict.fromkeys(line["level"] for line in read_csv(found / "subgroups.csv")))

    @property
    def mean(self) -> float:
        """PSNR over all levels."""
        return sum(result.intervals["psnr"].mean for result in self.results.values()) / len(self.results)

    def table(self, name: str) -> list[dict[str, str]]:
        return read_csv(layout.metrics(FAMILY, self.name) / f"{name}.csv")

    @property
    def trained_on(self) -> str:
        return ", ".join(self.row.levels) if self.row.levels else "clean images, the seed's protocol"


def parts(sections: Sections, folder: Path) -> list[shared.Part]:
    """A part for each row of `degradations`, its figures drawn into `folder`.

    Raises:
        ParamsError: a restorer names degradations that there are not.
    """
    rows = _rows(sections)
    several = len(sections.degradations) > 1
    return [
        _part(sections, name, row, [own for own in rows if own.row.degradations == name], folder, several)
        for name, row in sections.degradations.items()
    ]


def lines(sections: Sections) -> list[shared.Line]:
    """Each row on each level in the table of all rows, and each baseline."""
    learned = [shared.Line(result, layer=level) for row in _rows(sections) for level, result in row.results.items()]
    plain = [
        shared.Line(baseline.result, layer=level)
        for name, row in sections.degradations.items()
        for level in row.levels
        for baseline in _baselines(name, row, level)
    ]
    return learned + plain


def _rows(sections: Sections) -> list[Restorer]:
    for name, row in sections.restorers.items():
        if row.degradations not in sections.degradations:
            raise ParamsError(f"`{FAMILY}.{name}.degradations`: there is no row `{row.degradations}` in `degradations`")
    return [Restorer(name, row) for name, row in sections.restorers.items()]


def _baselines(name: str, row: DegradationNames, level: str) -> list[Baseline]:
    return [Baseline(method, Result(enhancement.FAMILY, f"{name}/{level}/{method}")) for method in row.baselines]


def _part(
    sections: Sections, name: str, row: DegradationNames, rows: Sequence[Restorer], folder: Path, several: bool
) -> shared.Part:
    if not rows:
        raise ParamsError(f"`degradations.{name}`: no row of `{FAMILY}` restores it; add one or take it out")
    baselines = {level: _baselines(name, row, level) for level in row.levels}
    first = next(iter(rows[0].results.values()))
    shown = [metric for metric in METRICS if metric in first.intervals]

    def wins(own: Restorer) -> list[str]:
        return [level for level in row.levels if not shared.losses(own.results[level], baselines[level], shown[:2])]

    best = max((own for own in rows if own.row.levels), key=lambda own: (len(wins(own)), own.mean), default=rows[0])
    levels = [
        {
            "name": level,
            "steps": ", ".join(dict.fromkeys(str(step["step"]).replace("_", " ") for step in row.levels[level])),
            "baselines": _plain_lines(baselines[level], shown),
            "rows": [_line(sections, own, level, baselines[level], shown) for own in rows],
        }
        for level in row.levels
    ]
    _grid(folder / f"restored-{name}.png", row, rows, baselines)
    network = next((own for own in rows if own.card["arch"] == "lenet"), None)
    return {
        "template": "restorers.html",
        "several": several,
        "dataset": row.dataset,
        "name": name,
        "shown": [METRICS[metric] for metric in shown],
        "levels": levels,
        "best": best.name,
        "wins": wins(best),
        "steps": best.table("steps") if best.row.levels else [],
        "subgroups": _subgroups(best),
        "protocols": [_protocol(own) for own in rows if not own.row.levels],
        "parameters": _parameters(network, folder / f"parameters-{name}.png") if network else None,
        "cap": f"{PSNR_CAP:g}",
        "groups": len(set(first.groups)),
        "images": len(first.images),
        "grid_images": min(GRID_IMAGES, len(first.images)),
        "error_top": figures.ERROR_TOP,
    }


def _plain_lines(baselines: Sequence[Baseline], shown: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "method": baseline.method,
            "about": ABOUT[baseline.method],
            "values": _values(baseline.result.intervals, shown),
            "best": [best_of(baselines, metric) == baseline for metric in shown],
        }
        for baseline in baselines
    ]


def _line(
    sections: Sections, own: Restorer, level: str, baselines: Sequence[Baseline], shown: Sequence[str]
) -> dict[str, Any]:
    result = own.results[level]
    return {
        "name": own.name,
        "arch": own.card["arch"],
        "parameters": shared.parameters(own.card),
        "trained_on": own.trained_on,
        "values": _values(result.intervals, shown),
        "gain": shared.gain_on_the_best(result, baselines, sections.metrics),
        "losses": shared.losses(result, baselines, shown),
    }


def _values(intervals: Mapping[str, Interval], shown: Sequence[str]) -> list[dict[str, str]]:
    return [shown_value(intervals[metric], METRICS[metric].digits) for metric in shown]


def _subgroups(best: Restorer) -> list[dict[str, Any]]:
    """A line a subgroup, its values by level."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for line in best.table("subgroups"):
        place = found.setdefault((line["column"], line["value"]), {"images": line["images"], "levels": {}})
        place["levels"][line["level"]] = {"psnr": float(line["psnr"]), "ssim": float(line["ssim"])}
    return [{"column": column, "value": value, **rest} for (column, value), rest in found.items()]


def _protocol(own: Restorer) -> dict[str, Any]:
    found = read_json(layout.metrics(FAMILY, own.name) / "protocol.json")
    values = {
        who: {metric: shown_value(Interval(**found[who][metric]), digits) for metric, digits in _DIGITS.items()}
        for who in ("network", "identity")
    }
    return {"name": own.name, "filters": found["filters"], **values}


_DIGITS = {"mse": 6, "psnr": 2, "ssim": 4}


def _parameters(own: Restorer, figure: Path) -> dict[str, Any]:
    """The parameters of a network, layer by layer; their histograms are drawn into `figure`."""
    from safetensors.numpy import load_file

    path = layout.model(FAMILY, own.name) / "model.safetensors"
    if not path.is_file():
        raise AfterimageError(f"{path}: there is no such file; `dvc repro` writes what the rows need")
    state = load_file(path)
    layers = {
        name.removesuffix(".bias").removeprefix("body."): (state[name.replace(".bias", ".weight")], state[name])
        for name in sorted(state)
        if name.endswith(".bias")
    }
    figures.parameter_histograms(figure, layers)
    return {
        "row": own.name,
        "total": shared.parameters(own.card),
        "layers": [
            {
                "name": name,
                "weights": weights.size,
                "biases": biases.size,
                **{how: f"{getattr(biases, how)():.4f}" for how in ("min", "mean", "max", "std")},
            }
            for name, (weights, biases) in layers.items()
        ],
    }


def _grid(
    path: Path,
    row: DegradationNames,
    rows: Sequence[Restorer],
    baselines: Mapping[str, Sequence[Baseline]],
) -> None:
    """The same images at every level: the frame as it is, the best baseline of the level, and each restorer."""
    keys = shared.spread(list(next(iter(rows[0].results.values())).images), GRID_IMAGES)
    originals = shared.images(layout.shards(row.dataset), keys)
    lines = []
    for key in keys:
        for level in row.levels:
            compared = [("", baseline.result) for baseline in baselines[level] if baseline.method == "identity"]
            if plain := best_of(baselines[level], "psnr"):
                compared.append((plain.method.replace("_", "+"), plain.result))
            compared += [("", own.results[level]) for own in rows]
            lines.append(
                GridRow(
                    level,
                    originals[key],
                    [shared.images(layout.reconstructions(own.family, own.name), [key])[key] for _, own in compared],
                    [f"{words} {float(own.images[key]['psnr']):.1f} dB".strip() for words, own in compared],
                )
            )
    columns = [("identity", "the frame as it is")] if "identity" in row.baselines else []
    columns += [("best baseline", "of the level")] if row.baselines else []
    columns += [(own.name, own.card["arch"]) for own in rows]
    figures.grid(path, columns, lines)
