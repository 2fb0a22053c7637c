"""Learned decoders in the report: the table, quality against depth, the images of each encoder, the curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from afterimage import figures, layout
from afterimage.errors import ParamsError
from afterimage.figures import Curve, Depth, GridRow, Mark
from afterimage.images import Uint8
from afterimage.metrics import MetricsRow
from afterimage.report import shared
from afterimage.report.sections import DecoderNames, EncoderNames, Sections
from afterimage.results import BASELINES, METRICS, Baseline, Result, read_csv, read_json, shown_value

FAMILY = "decoders"


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
        return read_json(layout.model(FAMILY, self.name) / "card.json")

    @cached_property
    def result(self) -> Result:
        return Result(FAMILY, self.name)

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


def parts(sections: Sections, folder: Path) -> list[shared.Part]:
    """A part for each data set that has decoders, its figures drawn into `folder`.

    Raises:
        ParamsError: a row names an encoder or a layer that there is not.
    """
    rows = _rows(sections)
    members = {name: [row for row in rows if row.row.dataset == name] for name in sections.datasets}
    members = {name: rows for name, rows in members.items() if rows}
    return [_part(sections, name, rows, folder, len(members) > 1) for name, rows in members.items()]


def lines(sections: Sections) -> list[shared.Line]:
    """The rows in the table of all rows."""
    return [shared.Line(row.result, row.row.encoder, "+".join(row.row.layers), row.depth) for row in _rows(sections)]


def encoders(sections: Sections) -> list[dict[str, Any]]:
    """The encoders whose features some row decodes, with the origin of their weights."""
    first = {row.row.encoder: row for row in reversed(_rows(sections))}
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


def _rows(sections: Sections) -> list[Decoder]:
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


def _part(sections: Sections, dataset: str, rows: Sequence[Decoder], folder: Path, several: bool) -> shared.Part:
    """The section of a data set's decoders, its figures drawn into `folder`."""
    baselines = shared.baselines(sections, dataset)
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
    keys = shared.spread(sorted(rows[0].result.images), sections.report.images)
    originals = shared.images(layout.shards(dataset), keys)
    for name, members in encoders.items():
        _grid(folder / f"grid-{name}.png", members, keys, originals)
    return {
        "template": "decoders.html",
        "several": several,
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
        "few_groups": len(set(rows[0].result.groups)) < shared.FEW_GROUPS,
        "error_top": figures.ERROR_TOP,
    }


def _line(row: Decoder, baselines: Sequence[Baseline], shown: Sequence[str], metrics: MetricsRow) -> dict[str, Any]:
    """A line of the table of results."""
    return {
        "name": row.name,
        "layers": row.layers,
        "features": " + ".join(row.row.layers) if row.joins_layers else row.about,
        "arch": row.card["arch"],
        "parameters": shared.parameters(row.card),
        "values": [shown_value(row.result.intervals[name], METRICS[name].digits) for name in shown],
        "gain": shared.gain_on_the_best(row.result, baselines, metrics),
        "losses": shared.losses(row.result, baselines, shown),
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
    lines = read_csv(layout.model(FAMILY, row.name) / "curves.csv")
    return Curve(row.label, [float(line["epoch"]) for line in lines], [float(line["val_psnr"]) for line in lines])


def _grid(path: Path, rows: Sequence[Decoder], keys: Sequence[str], originals: Mapping[str, Uint8]) -> None:
    found = [shared.images(layout.reconstructions(FAMILY, row.name), keys) for row in rows]
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
