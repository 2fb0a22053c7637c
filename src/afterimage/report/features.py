"""Images from features: what comes back of each layer of an encoder, and how deep layers lose it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from afterimage.core import layout
from afterimage.core.errors import ParamsError
from afterimage.core.images import Uint8
from afterimage.evaluation.results import MAIN, METRICS, Baseline, best_result, read_json
from afterimage.report import figures, grids, shared
from afterimage.report.figures import CaseLine, Curve, Depth, Mark
from afterimage.report.grids import GridRow
from afterimage.report.project import Project, Reconstructor, Values
from afterimage.report.shared import Line

KIND = "features"
LEFT = None
CASE_IMAGES = 2
"""Test images in the grid of rows with several cases, each of which has a line for an image."""
CURVE = "val_psnr"


@dataclass(frozen=True)
class Layered:
    """A row with its place in the encoder."""

    row: Reconstructor
    kept: tuple[str, ...]
    """All layers that the observation keeps, from shallow to deep."""
    variant: str = ""
    """What tells it from an earlier row of the same layers; empty for the first."""

    @cached_property
    def layers(self) -> list[str]:
        """Those that it is given."""
        if self.row.part:
            return [self.row.part]
        given = [part["layer"] for part in self.row.card.get("given") or [] if "layer" in part]
        return given or list(self.kept)

    @property
    def joins(self) -> bool:
        return len(self.layers) > 1

    @property
    def depth(self) -> int:
        """1 for the shallowest layer that the observation keeps; of several layers the deepest counts."""
        return 1 + max(self.kept.index(layer) for layer in self.layers)

    @property
    def words(self) -> str:
        if not self.joins:
            return self.layers[0]
        every = "all " if set(self.layers) == set(self.kept) else ""
        return f"{every}{len(self.layers)} layers"

    @property
    def label(self) -> str:
        return f"{self.words} {self.variant}".strip()

    @cached_property
    def size(self) -> str:
        """The size of the features, C×h×w; of several layers the first and the last."""
        if self.joins:
            return f"{self.layers[0]} to {self.layers[-1]}"
        gates = read_json(layout.observation(self.row.observation) / layout.GATES)["gates"]
        return "×".join(str(length) for length in gates[self.depth - 1]["counts"]["shape"])


def parts(project: Project, folder: Path) -> list[shared.Part]:
    """A part for each data set that has rows, and for each set of images that these were measured on.

    Raises:
        ParamsError: a row is given layers that its observation does not keep.
    """
    found = []
    for dataset in project.datasets:
        rows = [row for row in project.of(KIND) if row.row["dataset"] == dataset]
        found += [_part(project, dataset, members, folder) for members in shared.sheets(rows)]
    several = len(found) > 1
    return [{**part, "title": shared.title(KIND, part["dataset"] if several else "", part["some"])} for part in found]


def setting(project: Project, line: Line) -> str:
    """What lines of the overview are compared in: a layer, or the layers that are seen at once."""
    return f"{line.row.observation}/{'+'.join(_layered(project, [line.row])[0].layers)}"


def place(project: Project, line: Line) -> dict[str, Any]:
    """Where a line of the tables stands: the depth of its deepest layer, 1 for the shallowest that is kept."""
    return {"depth": _layered(project, [line.row])[0].depth}


def encoders(project: Project) -> list[dict[str, Any]]:
    """The encoders whose features some row is given, with the origin of their weights."""
    used = {row.observation: row for row in reversed(project.of(KIND))}
    return [
        {"name": name, "layers": row["layers"], "origin": origin(project, name)}
        for name, row in project.observations.items()
        if name in used
    ]


def origin(project: Project, observation: str) -> str:
    """The architecture and the origin of an encoder's weights; of random ones plainly that nothing was learned."""
    cards = [row.card for row in project.of(KIND) if row.observation == observation]
    given: Values = next((card["given"][0] for card in cards if card.get("given")), {})
    encoder = project.encoders.get(Path(str(project.observations[observation].get("path"))).stem, {})
    weights = str(given.get("weights_origin") or encoder.get("weights", "unknown"))
    arch = given.get("arch") or encoder.get("arch", "unknown architecture")
    if weights.startswith("random"):
        return f"{arch}, random weights{weights.removeprefix('random')}: an untrained network"
    return f"{arch}, weights: {weights}"


def _layered(project: Project, rows: Sequence[Reconstructor]) -> list[Layered]:
    """Rows by encoder and from shallow to deep; rows that join layers come last."""
    found: list[Layered] = []
    for row in rows:
        layered = Layered(row, tuple(project.observations[row.observation]["layers"]))
        for layer in layered.layers:
            if layer not in layered.kept:
                raise ParamsError(
                    f"`{row.name}`: was trained on `{layer}`, which `observations.{row.observation}` does not keep; "
                    f"it keeps {', '.join(layered.kept)}"
                )
        same = (row.observation, layered.layers, len(row.results) > 1)
        twins = [other for other in found if (other.row.observation, other.layers, _several(other)) == same]
        variant = (row.name.removeprefix(twins[0].row.name).strip("-_") or row.name) if twins else ""
        found.append(Layered(row, layered.kept, variant))
    order = list(project.observations)
    return sorted(found, key=lambda each: (order.index(each.row.observation), each.joins, each.depth))


def _several(each: Layered) -> bool:
    return len(each.row.results) > 1


def _part(project: Project, dataset: str, members: Sequence[Reconstructor], folder: Path) -> shared.Part:
    """The part of rows that were measured on the same images, its figures drawn into `folder`."""
    rows = _layered(project, members)
    lines = shared.lines([each.row for each in rows])
    first = lines[0].result
    rivals = project.rivals(first, rows[0].row.observation)
    cases = list(dict.fromkeys(case for each in rows if _several(each) for case in each.row.results))
    names = [name for name in shared.shown([line.result for line in lines]) if not cases or name != "mse"]
    lost = {line.result: shared.losses(line.result, rivals, names) for line in lines}
    ended = [
        float(image["converged"]) for line in lines for image in line.result.images.values() if "converged" in image
    ]
    return {
        "template": "features.html",
        "dataset": dataset,
        **shared.facts(first, dataset),
        "shown": names,
        "cases": cases,
        "encoders": [
            {
                "name": name,
                "origin": origin(project, name),
                "rows": [_row(project, each, rivals, names, lost) for each in own],
            }
            for name, own in _by_encoder(rows).items()
        ],
        "baselines": shared.plain(rivals, names),
        "lines": len(lines),
        "losing": sum(bool(methods) for methods in lost.values()),
        "best": shared.best_line(lines, rivals, project, MAIN[KIND]),
        "wins": _wins(rows, cases),
        "compared": sum(map(_several, rows)),
        "searches": len(ended),
        "converged": int(sum(ended)),
        "has_feature_error": "feature_error" in names,
        "error_top": grids.ERROR_TOP,
        **_single_figures(project, dataset, [each for each in rows if not _several(each)], rivals, folder),
        **_case_figures(dataset, [each for each in rows if _several(each)], cases, folder),
    }


def _by_encoder(rows: Sequence[Layered]) -> dict[str, list[Layered]]:
    names = dict.fromkeys(each.row.observation for each in rows)
    return {name: [each for each in rows if each.row.observation == name] for name in names}


def _wins(rows: Sequence[Layered], cases: Sequence[str]) -> dict[str, int]:
    """For how many rows each case is the best of its row."""
    best = [best_result(list(each.row.results.values()), MAIN[KIND]) for each in rows if _several(each)]
    return {case: sum(result is not None and result.case == case for result in best) for case in cases}


def _row(
    project: Project,
    each: Layered,
    rivals: Sequence[Baseline],
    names: Sequence[str],
    lost: Mapping[Any, dict[str, list[str]]],
) -> Values:
    """A row in the table: a line a case, the best of which is marked."""
    results = list(each.row.results.values())
    best = [best_result(results, name) for name in names]
    return {
        "name": each.row.name,
        "layers": each.words,
        "features": " + ".join(each.layers) if each.joins else each.size,
        "words": each.row.words,
        "parameters": each.row.parameters,
        "lines": [
            {
                "case": result.case if len(results) > 1 else "",
                "values": shared.cells(result, names),
                "best": [len(results) > 1 and result == other for other in best],
                "gain": shared.gain_on_the_best(result, rivals, project),
                "losses": lost[result],
            }
            for result in results
        ],
    }


# Figures


def _single_figures(
    project: Project, dataset: str, rows: Sequence[Layered], rivals: Sequence[Baseline], folder: Path
) -> Values:
    """The figures of rows with one case: quality against depth, images, training."""
    if not rows:
        return {"depth": None, "grids": [], "curves": None, "grid_images": 0}
    encoders = _by_encoder(rows)
    depth = shared.fresh(folder, f"depth-{dataset}")
    figures.quality_against_depth(
        depth,
        [_depth(name, own) for name, own in encoders.items()],
        {rival.method: rival.result.intervals for rival in rivals},
        {name: METRICS[name].heading for name in ("psnr", "ssim")},
    )
    trained = {name: [_curve(each) for each in own if _curve(each)] for name, own in encoders.items()}
    curves = shared.fresh(folder, f"curves-{dataset}") if any(trained.values()) else None
    if curves:
        panels = {name: [curve for curve in own if curve] for name, own in trained.items() if own}
        figures.training_curves(curves, panels)
    keys = shared.spread(sorted(rows[0].row.first.images), project.report.images)
    originals = shared.images(layout.shards(dataset), keys)
    made = []
    for name, own in encoders.items():
        made.append({"encoder": name, "file": shared.fresh(folder, f"grid-{name}").name})
        _grid(folder / made[-1]["file"], own, keys, originals)
    return {"depth": depth.name, "curves": curves and curves.name, "grids": made, "grid_images": len(keys)}


def _case_figures(dataset: str, rows: Sequence[Layered], cases: Sequence[str], folder: Path) -> Values:
    """The figures of rows with several cases: the cases against depth, and images of each."""
    if not rows:
        return {"case_depth": None, "case_grids": [], "case_images": 0}
    results = [result for each in rows for result in each.row.results.values()]
    metrics = [name for name in ("psnr", "ssim", "feature_error") if all(name in each.intervals for each in results)]
    encoders = _by_encoder(rows)
    depth = shared.fresh(folder, f"cases-{dataset}")
    figures.cases_against_depth(
        depth,
        {name: _cases(own, cases) for name, own in encoders.items()},
        {name: [each.label for each in own] for name, own in encoders.items()},
        {name: METRICS[name].heading for name in metrics},
    )
    keys = shared.spread(list(rows[0].row.first.images), CASE_IMAGES)
    originals = shared.images(layout.shards(dataset), keys)
    made = []
    for name, own in encoders.items():
        made.append({"encoder": name, "file": shared.fresh(folder, f"cases-grid-{name}").name})
        _case_grid(folder / made[-1]["file"], own, cases, keys, originals)
    return {"case_depth": depth.name, "case_grids": made, "case_images": len(keys)}


def _depth(name: str, rows: Sequence[Layered]) -> Depth:
    firsts = [each for each in rows if not each.joins and not each.variant]
    joined = [each for each in rows if each.joins and not each.variant]
    ticks = [f"{each.words}\n{each.size}" for each in firsts]
    ticks += [f"{each.words},\n{each.size.replace(' to ', chr(10) + 'to ')}" for each in joined]
    places = {tuple(each.layers): place for place, each in enumerate([*firsts, *joined])}
    line = [Mark(places[tuple(each.layers)], "", each.row.first.intervals) for each in firsts]
    others = [
        Mark(places[tuple(each.layers)] + (0.12 if each.variant else 0), each.variant, each.row.first.intervals)
        for each in rows
        if each not in firsts
    ]
    return Depth(name, ticks, line, others)


def _cases(rows: Sequence[Layered], cases: Sequence[str]) -> list[CaseLine]:
    return [
        CaseLine(
            case,
            [(place, each.row.results[case].intervals) for place, each in enumerate(rows) if case in each.row.results],
        )
        for case in cases
    ]


def _curve(each: Layered) -> Curve | None:
    lines = [line for line in each.row.curves if line.get(CURVE)]
    if not lines:
        return None
    return Curve(each.label, [float(line["epoch"]) for line in lines], [float(line[CURVE]) for line in lines])


def _grid(path: Path, rows: Sequence[Layered], keys: Sequence[str], originals: Mapping[str, Uint8]) -> None:
    found = [shared.images(each.row.first.reconstructions, keys) for each in rows]
    about = rows[0].row.first.images
    grids.grid(
        path,
        [(each.label, each.size) for each in rows],
        [
            GridRow(
                about[key]["image"],
                originals[key],
                [images[key] for images in found],
                [shared.decibels(each.row.first, key) for each in rows],
            )
            for key in keys
        ],
    )


def _case_grid(
    path: Path, rows: Sequence[Layered], cases: Sequence[str], keys: Sequence[str], originals: Mapping[str, Uint8]
) -> None:
    """A column a row; for each image a line a case. A row without that case has its first one there."""
    lines = []
    for key in keys:
        for case in cases:
            results = [each.row.results.get(case) for each in rows]
            images = [shared.images(result.reconstructions, [key])[key] if result else None for result in results]
            words = [shared.decibels(result, key) if result else "" for result in results]
            lines.append(GridRow(case, originals[key], images, words))
    grids.grid(path, [(each.label, "") for each in rows], lines)
