"""The report: figures, tables and pages for people, from what the stages before it wrote.

Everything is found by the rows of params.yaml, never by listing folders, because rows that were removed may have
left theirs behind. A family of reconstructors is one module here, with `parts` of the page and `lines` of the table
of all rows, and one partial among the templates.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afterimage.core import layout, outputs, shards
from afterimage.datasets.sources import SPLITS, Dataset
from afterimage.evaluation.results import METRICS, read_csv, read_json
from afterimage.report import completers, decoders, inpainters, inversions, restorers, shared
from afterimage.report.sections import (
    CompleterNames,
    DecoderNames,
    DegradationNames,
    EncoderNames,
    HolesNames,
    InpainterNames,
    InversionNames,
    ReportRow,
    RestorerNames,
    Sections,
)

__all__ = [
    "CompleterNames",
    "DecoderNames",
    "DegradationNames",
    "EncoderNames",
    "HolesNames",
    "InpainterNames",
    "InversionNames",
    "ReportRow",
    "RestorerNames",
    "Sections",
    "write",
]

TEMPLATES = Path(__file__).parent / "templates"
FAMILIES = (decoders, inversions, inpainters, completers, restorers)
"""In the order of the page."""


def write(sections: Sections, out: Path) -> None:
    """Write `index.html`, `validation.html`, `figures/` and `tables/` into `out`, the same bytes for the same inputs.

    Raises:
        AfterimageError: what a row should have left is missing or broken; the line names the file.
    """
    with outputs.folder(out / "figures") as folder:
        parts = [part for family in FAMILIES for part in family.parts(sections, folder)]
    lines = [line for family in FAMILIES for line in family.lines(sections)]
    lines += [shared.Line(baseline.result, layer=baseline.method) for baseline in shared.baselines(sections)]
    with outputs.folder(out / "tables") as folder:
        _quality_table(folder / "quality.csv", lines)
        _curves_table(folder / "curves.csv", lines)
    _page(out / "validation.html", "validation.html", _validation(sections))
    _page(
        out / "index.html",
        "index.html",
        {
            "datasets": [_dataset(name, row) for name, row in sections.datasets.items()],
            "encoders": decoders.encoders(sections),
            "shown": {name for line in lines for name in line.result.intervals},
            "metrics": sections.metrics,
            "parts": parts,
        },
    )


# What the run was


def _dataset(name: str, row: Dataset) -> dict[str, Any]:
    index = shards.load_index(layout.shards(name))
    samples = read_csv(layout.shards(name) / "samples.csv")
    rejected = read_csv(layout.shards(name) / "rejected.csv")
    kinds = Counter(line["kind"] for line in rejected)
    firsts = {line["kind"]: line for line in reversed(rejected)}
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
        "test_images": images[shared.SPLIT] if len(images[shared.SPLIT]) <= 12 else [],
        "rejected": [
            {"kind": kind, "count": count, **firsts[kind]}
            for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        ],
    }


# Tables, for `dvc plots show` and for spreadsheets


def _quality_table(path: Path, lines: Sequence[shared.Line]) -> None:
    """A line a row of every family."""
    shown = [name for name in METRICS if any(name in line.result.intervals for line in lines)]
    columns = [f"{name}{part}" for name in shown for part in ("", "_low", "_high")]
    nothing = ("", "", "")
    outputs.write_csv(
        path,
        ["row", "family", "encoder", "layer", "depth", *columns],
        (
            [
                *(result.name, result.family, encoder, layer, "" if depth is None else depth),
                *(value for name in shown for value in result.intervals.get(name, nothing)),
            ]
            for result, encoder, layer, depth in lines
        ),
    )


def _curves_table(path: Path, lines: Sequence[shared.Line]) -> None:
    """A line an epoch of every row that was trained; columns that a row has not are empty."""
    rows = dict.fromkeys((line.result.family, line.model) for line in lines)
    curves = {row: read_csv(file) for row in rows if (file := layout.model(*row) / "curves.csv").is_file()}
    columns = list(dict.fromkeys(column for epochs in curves.values() for column in epochs[0]))
    outputs.write_csv(
        path,
        ["family", "row", *columns],
        (
            [*about, *(epoch.get(column, "") for column in columns)]
            for about, epochs in curves.items()
            for epoch in epochs
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
