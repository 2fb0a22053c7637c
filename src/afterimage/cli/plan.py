"""`afterimage plan`: what a preset takes, before it runs."""

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from afterimage.cli import options

if TYPE_CHECKING:
    from afterimage.cli import presets
    from afterimage.planning.machines import Rates
    from afterimage.planning.stages import Stage


@click.command("plan")
@click.argument("preset", required=False)
@click.option("--machine", default="here", show_default=True, help="Of planning/machines.yaml, or `here`.")
@click.option(
    "--samples", "given", metavar="DATASET=COUNT", multiple=True, help="Other samples than PRESET counts with."
)
@click.option("--price", type=click.FloatRange(min=0), help="Of an hour of the machine; adds what each stage costs.")
@click.option("--markdown", is_flag=True, help="As a table for a page.")
@options.quiet
@options.project
def command(
    preset: str | None,
    machine: str,
    given: tuple[str, ...],
    price: float | None,
    markdown: bool,
    quiet: bool,
    project: Path,
) -> None:
    """Say what each stage of PRESET takes: hours, network, disk, and what it waits for.

    Without PRESET params.yaml is taken as it is, and the samples of the shards that are built. Operations are counted
    of the rows' own networks, which takes a minute. `here` also times them, on the cores of this machine; the rates of
    other machines and their sources are in planning/machines.yaml. Nothing is run or changed. docs/scaling.md says what
    is counted.
    """
    from afterimage.cli import presets
    from afterimage.core import compute

    with tempfile.TemporaryDirectory(prefix="afterimage-plan-") as work:
        path = project / "params.yaml"
        about = None
        if preset is not None:
            about = presets.about(project / "presets", preset)
            path = Path(shutil.copy(path, work))
            presets.apply(path, project / "presets", preset)
        compute.pin(path)  # before torch is imported: steps are timed with the instructions and threads of a stage
        from afterimage.planning import machines, stages
        from afterimage.planning import work as works

        rates = machines.Rates.of(machine)
        known = dict(about.samples) if about else _built(project, path)
        samples = known | _counts(given, known)
        if missing := [name for name, count in samples.items() if not count]:
            raise options.UsageError(
                f"data/shards/{missing[0]} is not built; --samples {missing[0]}=COUNT says how many"
            )
        raw = _raw(about, samples) if about else {}
        said = (lambda row: None) if quiet else (lambda row: click.echo(f"counting {row}", err=True))
        with options.progress(quiet=True):
            counted = works.count(path, rates.timed, said)
        found = list(stages.planned(path, samples, raw, counted))
    for line in _table(found, rates, price, markdown):
        click.echo(line)


def _counts(given: Iterable[str], known: Mapping[str, int]) -> dict[str, int]:
    """What `--samples` says."""
    counts = {}
    for text in given:
        name, _, count = text.partition("=")
        if not count.isdecimal() or int(count) < 1:
            raise options.UsageError(f"--samples {text}: expected DATASET=COUNT, such as {next(iter(known))}=100000")
        if name not in known:
            raise options.UsageError(f"--samples {text}: there is no data set `{name}`; there are {', '.join(known)}")
        counts[name] = int(count)
    return counts


def _built(project: Path, path: Path) -> dict[str, int]:
    """How many samples the shards of each data set hold; 0 where they are not built."""
    from afterimage.core import layout, params, shards

    counts = {}
    for name in params.load(path).get("datasets") or {}:
        folder = project / layout.shards(name)
        splits = shards.load_index(folder)["splits"] if folder.exists() else {}
        counts[name] = sum(split["samples"] for split in splits.values())
    return counts


def _raw(about: "presets.About", samples: Mapping[str, int]) -> dict[str, float]:
    """Bytes of the original images, in proportion to the samples."""
    each = 1e9 * about.needs.disk.get("raw", 0.0) / sum(about.samples.values())
    return {name: each * count for name, count in samples.items()}


def _table(found: "list[Stage]", rates: "Rates", price: float | None, markdown: bool) -> list[str]:
    """The stages as a table, their sum, and what the numbers rest on."""
    from tabulate import tabulate

    times = [rates.time(stage) for stage in found]
    headers = ["stage", "row", "images", "PFLOP", "hours", "waits for", "download GB", "read GB", "written GB"]
    lines: list[list[Any]] = [
        [stage.name, stage.row, stage.images, stage.flops / 1e15, time.hours, time.limit if time.hours else ""]
        + [amount / 1e9 for amount in (stage.download, stage.read, stage.written)]
        for stage, time in zip(found, times, strict=True)
    ]
    sums = [sum(float(line[place]) for line in lines) for place in (3, 4, 6, 7, 8)]
    lines.append(["all", "", "", *sums[:2], "", *sums[2:]])
    if price is not None:
        headers.append("cost")
        lines = [[*line, price * float(line[4])] for line in lines]
    shown = [[_number(value) if isinstance(value, float | int) else value for value in line] for line in lines]
    align = ["left", "left", *["right"] * 3, "left", *["right"] * (len(headers) - 6)]
    machine = rates.machine
    table = tabulate(
        shown, headers, tablefmt="pipe" if markdown else "simple", colalign=align, disable_numparse=True
    ).splitlines()
    network = "timed on this machine" if rates.timed else f"{machine.flops['float32'] / 1e12:.3g} TFLOP/s in float32"
    faster = "".join(f", {rate / 1e12:.3g} in {name}" for name, rate in machine.flops.items() if name != "float32")
    said = [
        f"{machine.title}: {machine.cores} cores, {machine.gpus or 'no'} GPUs; networks {network}"
        + ("" if rates.timed else faster),
        f"networks: {machine.basis}",
        f"disk and network: {machine.disk / 1e6:g} and {machine.network / 1e6:g} MB/s; {machine.source}",
        f"a core: {rates.core.source}",
    ]
    return [*table, "", *said]


def _number(value: float) -> str:
    """Three digits, without exponents."""
    if value == 0:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"
