"""The report: figures, tables and pages for people, from what the stages before it wrote.

Everything is found by the rows of params.yaml, never by listing folders, because rows that were removed may have
left theirs behind. A family of reconstructors is one function here, from its rows to the values of its section, and
one partial among the templates.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field

from afterimage import figures, layout, outputs, shards
from afterimage.errors import ParamsError, ShardError
from afterimage.figures import Curve, Depth, GridRow, Mark
from afterimage.images import Uint8, decode
from afterimage.metrics import MetricsRow
from afterimage.params import Row
from afterimage.reconstructors.classical import BaselineRow
from afterimage.results import BASELINES, METRICS, Baseline, Result, best_of, gain, read_csv, read_json, shown_value
from afterimage.sources import SPLITS, Dataset

TEMPLATES = Path(__file__).parent / "templates"
SPLIT = "test"
FEW_GROUPS = 10


class ReportRow(Row):
    """The section `report`."""

    images: int = Field(gt=0)
    """Test images in each grid."""


class EncoderNames(Row):
    """What the report needs of a row of `encoders`. Its whole class imports torch, which takes seconds."""

    model_config = ConfigDict(extra="ignore")

    arch: str
    dataset: str
    layers: list[str]


class DecoderNames(Row):
    """What the report needs of a row of `decoders`."""

    model_config = ConfigDict(extra="ignore")

    dataset: str
    encoder: str
    layers: list[str]


@dataclass(frozen=True)
class Sections:
    """The sections of params.yaml that the report is made from."""

    datasets: Mapping[str, Dataset]
    encoders: Mapping[str, EncoderNames]
    decoders: Mapping[str, DecoderNames]
    baselines: Mapping[str, BaselineRow]
    metrics: MetricsRow
    report: ReportRow


@dataclass(frozen=True)
class Decoder:
    """A row of `decoders` with what is known of it after training."""

    name: str
    row: DecoderNames
    encoder: EncoderNames
    variant: str
    """What tells it from an earlier row of the same layers; empty for the first."""

    @cached_property
    def card(self) -> dict[str, Any]:
        return read_json(layout.model("decoders", self.name) / "card.json")

    @cached_property
    def result(self) -> Result:
        return Result("decoders", self.name)

    @property
    def joins_layers(self) -> bool:
        return len(self.row.layers) > 1

    @property
    def depth(self) -> int:
        """1 for the shallowest layer that the encoder keeps; of several layers the deepest counts."""
        return 1 + max(self.encoder.layers.index(layer) for layer in self.row.layers)

    @property
    def layers(self) -> str:
        if not self.joins_layers:
            return self.row.layers[0]
        every = "all " if set(self.row.layers) == set(self.encoder.layers) else ""
        return f"{every}{len(self.row.layers)} layers"

    @property
    def label(self) -> str:
        return f"{self.layers} {self.variant}".strip()

    @property
    def about(self) -> str:
        """The size of the features, C×h×w; of several layers the first and the last."""
        if self.joins_layers:
            return f"{self.row.layers[0]} to {self.row.layers[-1]}"
        return "×".join(str(length) for length in self.card["taps"][0]["shape"])


def write(sections: Sections, out: Path) -> None:
    """Write `index.html`, `validation.html`, `figures/` and `tables/` into `out`, the same bytes for the same inputs.

    Raises:
        AfterimageError: what a row should have left is missing or broken; the line names the file.
    """
    rows = _decoders(sections)
    with outputs.folder(out / "figures") as folder:
        decoders = [
            _decoder_section(sections, dataset, [row for row in rows if row.row.dataset == dataset], folder)
            for dataset in sections.datasets
            if any(row.row.dataset == dataset for row in rows)
        ]
    with outputs.folder(out / "tables") as folder:
        _quality_table(folder / "quality.csv", rows, _baselines(sections))
        _curves_table(folder / "curves.csv", rows)
    shown = [name for name in METRICS if any(name in row.result.intervals for row in rows)]
    _page(out / "validation.html", "validation.html", _validation(sections))
    _page(
        out / "index.html",
        "index.html",
        {
            "datasets": [_dataset(name, row) for name, row in sections.datasets.items()],
            "encoders": _encoder_origins(sections, rows),
            "shown": shown,
            "metrics": sections.metrics,
            "decoders": decoders,
        },
    )


# What the run was


def _dataset(name: str, row: Dataset) -> dict[str, Any]:
    index = shards.load_index(layout.shards(name))
    samples = read_csv(layout.shards(name) / "samples.csv")
    reasons = Counter(line["reason"] for line in read_csv(layout.shards(name) / "rejected.csv"))
    images = {split: sorted({line["image"] for line in samples if line["split"] == split}) for split in SPLITS}
    groups = {split: len({line["group"] for line in samples if line["split"] == split}) for split in SPLITS}
    return {
        "name": name,
        "source": row.source,
        "tiled": row.tile is not None,
        "size": index["size"],
        "splits": [
            {"name": split, "images": len(images[split]), "groups": groups[split], **index["splits"][split]}
            for split in SPLITS
        ],
        "test_images": images[SPLIT] if len(images[SPLIT]) <= 12 else [],
        "rejected": sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0])),
    }


def _encoder_origins(sections: Sections, rows: Sequence[Decoder]) -> list[dict[str, Any]]:
    first = {row.row.encoder: row for row in reversed(rows)}
    return [
        {"name": name, "arch": encoder.arch, "layers": encoder.layers, "origin": _origin(first[name].card)}
        for name, encoder in sections.encoders.items()
        if name in first
    ]


def _origin(card: Mapping[str, Any]) -> str:
    """The origin of an encoder's weights; of random ones plainly that nothing was learned."""
    origin = str(card["weights_origin"])
    if origin.startswith("random"):
        return f"random weights{origin.removeprefix('random')}: an untrained network"
    return f"weights: {origin}"


# Learned decoders


def _decoders(sections: Sections) -> list[Decoder]:
    """All rows, by encoder and from shallow to deep; rows that join layers come last."""
    rows: list[Decoder] = []
    for name, row in sections.decoders.items():
        encoder = sections.encoders.get(row.encoder)
        if encoder is None:
            raise ParamsError(f"`decoders.{name}.encoder`: there is no row `{row.encoder}` in `encoders`")
        for layer in row.layers:
            if layer not in encoder.layers:
                raise ParamsError(
                    f"`decoders.{name}.layers`: `{layer}` is no layer that `encoders.{row.encoder}` keeps; "
                    f"it keeps {', '.join(encoder.layers)}"
                )
        twin = next(
            (other for other in rows if (other.row.encoder, other.row.layers) == (row.encoder, row.layers)), None
        )
        variant = (name.removeprefix(twin.name).strip("-_") or name) if twin else ""
        rows.append(Decoder(name, row, encoder, variant))
    order = list(sections.encoders)
    return sorted(rows, key=lambda row: (order.index(row.row.encoder), row.joins_layers, row.depth))


def _baselines(sections: Sections, dataset: str | None = None) -> list[Baseline]:
    return [
        Baseline(method, Result("baselines", f"{name}/{method}"))
        for name, row in sections.baselines.items()
        if dataset in (None, row.dataset)
        for method in row.methods
    ]


def _decoder_section(sections: Sections, dataset: str, rows: Sequence[Decoder], folder: Path) -> dict[str, Any]:
    """The section of a data set's decoders, its figures drawn into `folder`."""
    baselines = _baselines(sections, dataset)
    encoders = {name: [row for row in rows if row.row.encoder == name] for name in sections.encoders}
    encoders = {name: members for name, members in encoders.items() if members}
    shown = [name for name in METRICS if name in rows[0].result.intervals]
    lines = {row.name: _line(row, baselines, shown, sections.metrics) for row in rows}

    figures.quality_against_depth(
        folder / f"depth-{dataset}.png",
        [_depth(name, members) for name, members in encoders.items()],
        {baseline.method: baseline.result.intervals for baseline in baselines},
        {name: METRICS[name].heading for name in ("psnr", "ssim")},
    )
    figures.training_curves(
        folder / f"curves-{dataset}.png",
        {name: [_curve(row) for row in members] for name, members in encoders.items()},
    )
    keys = _spread(sorted(rows[0].result.images), sections.report.images)
    originals = _images(layout.shards(dataset), keys)
    for name, members in encoders.items():
        _grid(folder / f"grid-{name}.png", members, keys, originals)
    return {
        "dataset": dataset,
        "shown": [METRICS[name] for name in shown],
        "encoders": [
            {"name": name, "origin": _origin(members[0].card), "lines": [lines[row.name] for row in members]}
            for name, members in encoders.items()
        ],
        "baselines": [
            {
                "method": baseline.method,
                "about": BASELINES.get(baseline.method, ""),
                "values": [shown_value(baseline.result.intervals[name], METRICS[name].digits) for name in shown],
            }
            for baseline in baselines
        ],
        "rows": len(rows),
        "losing": sum(bool(line["losses"]) for line in lines.values()),
        "best": max(rows, key=lambda row: row.result.intervals["psnr"].mean),
        "images": len(keys),
        "groups": len(set(rows[0].result.groups)),
        "few_groups": len(set(rows[0].result.groups)) < FEW_GROUPS,
        "error_top": figures.ERROR_TOP,
    }


def _line(row: Decoder, baselines: Sequence[Baseline], shown: Sequence[str], metrics: MetricsRow) -> dict[str, Any]:
    """A line of the table of results."""
    losses: dict[str, list[str]] = {}
    for name in shown:
        best = best_of(baselines, name)
        sign = 1 if METRICS[name].higher_is_better else -1
        if best and sign * (row.result.intervals[name].mean - best.result.intervals[name].mean) < 0:
            losses.setdefault(best.method, []).append(METRICS[name].heading.removesuffix(" in dB"))
    best = best_of(baselines, "psnr")
    return {
        "name": row.name,
        "layers": row.layers,
        "features": " + ".join(row.row.layers) if row.joins_layers else row.about,
        "arch": row.card["arch"],
        "parameters": f"{row.card['parameters']:,}".replace(",", "\u202f"),
        "values": [shown_value(row.result.intervals[name], METRICS[name].digits) for name in shown],
        "gain": shown_value(gain(row.result, best.result, metrics), 2, signed=True) if best else None,
        "losses": losses,
    }


def _depth(name: str, rows: Sequence[Decoder]) -> Depth:
    singles = [row for row in rows if not row.joins_layers]
    firsts = [row for row in singles if not row.variant]
    joined = [row for row in rows if row.joins_layers and not row.variant]
    ticks = [f"{row.layers}\n{row.about}" for row in firsts]
    ticks += [f"{row.layers},\n{row.about.replace(' to ', chr(10) + 'to ')}" for row in joined]
    places = {tuple(row.row.layers): place for place, row in enumerate([*firsts, *joined])}
    line = [Mark(places[tuple(row.row.layers)], "", row.result.intervals) for row in firsts]
    others = [
        Mark(places[tuple(row.row.layers)] + (0.12 if row.variant else 0), row.variant, row.result.intervals)
        for row in rows
        if row not in firsts
    ]
    return Depth(name, ticks, line, others)


def _curve(row: Decoder) -> Curve:
    lines = read_csv(layout.model("decoders", row.name) / "curves.csv")
    return Curve(row.label, [float(line["epoch"]) for line in lines], [float(line["val_psnr"]) for line in lines])


def _grid(path: Path, rows: Sequence[Decoder], keys: Sequence[str], originals: Mapping[str, Uint8]) -> None:
    found = [_images(layout.reconstructions("decoders", row.name), keys) for row in rows]
    about = rows[0].result.images
    figures.grid(
        path,
        [(row.label, row.about) for row in rows],
        [
            GridRow(
                about[key]["image"],
                originals[key],
                [images[key] for images in found],
                [f"{float(row.result.images[key]['psnr']):.1f} dB" for row in rows],
            )
            for key in keys
        ],
    )


def _spread(keys: Sequence[str], count: int) -> list[str]:
    """So many of the keys, evenly spaced, so that every photograph that is cut into tiles has its share."""
    count = min(count, len(keys))
    return [keys[(2 * number + 1) * len(keys) // (2 * count)] for number in range(count)]


def _images(folder: Path, keys: Sequence[str]) -> dict[str, Uint8]:
    table = shards.Table(folder, SPLIT)
    places = {key: place for place, key in enumerate(table.keys)}
    if missing := [key for key in keys if key not in places]:
        raise ShardError(f"{folder}: has no {SPLIT} sample `{missing[0]}`, which was measured; run `dvc repro`")
    return {key: np.asarray(decode(table.bytes(places[key]))) for key in keys}


def _quality_table(path: Path, rows: Sequence[Decoder], baselines: Sequence[Baseline]) -> None:
    """A line a row of every family, for `dvc plots show` and for spreadsheets."""
    results = [row.result for row in rows] + [baseline.result for baseline in baselines]
    shown = [name for name in METRICS if any(name in result.intervals for result in results)]
    columns = [f"{name}{part}" for name in shown for part in ("", "_low", "_high")]
    named = [["decoders", row.row.encoder, "+".join(row.row.layers), row.depth] for row in rows]
    named += [["baselines", "", baseline.method, ""] for baseline in baselines]
    outputs.write_csv(
        path,
        ["row", "family", "encoder", "layer", "depth", *columns],
        (
            [result.name, *about, *(value for name in shown for value in result.intervals[name])]
            for result, about in zip(results, named, strict=True)
        ),
    )


def _curves_table(path: Path, rows: Sequence[Decoder]) -> None:
    columns = ["epoch", "train_mse", "val_mse", "val_psnr"]
    outputs.write_csv(
        path,
        ["row", *columns],
        (
            [row.name, *(line[column] for column in columns)]
            for row in rows
            for line in read_csv(layout.model("decoders", row.name) / "curves.csv")
        ),
    )


# Validation


def _validation(sections: Sections) -> dict[str, Any]:
    return {
        "datasets": [read_json(layout.validation(name)) for name in sections.datasets],
        "encoders": [
            {
                "name": name,
                "layers": encoder.layers,
                "gates": [read_json(layout.validation(f"features/{name}/{layer}/result")) for layer in encoder.layers],
            }
            for name, encoder in sections.encoders.items()
        ],
        "splits": SPLITS,
    }


# Files


def _page(path: Path, template: str, values: Mapping[str, Any]) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    with outputs.file(path) as partial:
        partial.write_text(environment.get_template(template).render(values), encoding="utf-8")
