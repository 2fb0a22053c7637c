"""`afterimage evaluate`: anybody's outputs in the table of the baselines, without a pipeline."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from afterimage.cli import inputs, options
from afterimage.cli.options import UsageError
from afterimage.core.errors import AfterimageError

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
COLUMNS = {
    True: ("hole_psnr", "hole_ssim", "hole_lpips", "band_psnr", "psnr", "ssim"),
    False: ("psnr", "psnr_tone", "ssim", "ssim_tone", "lpips"),
}
"""The metrics of the table, with masks and without; `--json` has all."""
LONGEST = 14
"""Letters of a name in the table, which is at most 100 columns wide."""
DIGITS = 5
"""Digits, point and sign of a number in it."""


@click.command("evaluate")
@click.option("--images", "folder", type=FOLDER, required=True, help="The outputs to score.")
@click.option("--originals", type=FOLDER, required=True, help="What they should be, by the same names.")
@click.option("--masks", type=FOLDER, help="What was missing, by the same names: adds hole, band, baselines of holes.")
@options.missing
@click.option("--inputs", "given", type=FOLDER, help="The frames that were restored: adds identity and bicubic.")
@click.option("--baseline", "chosen", metavar="NAME", multiple=True, help="Only this one; may be repeated.")
@click.option(
    "--lpips",
    "trunk",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="AlexNet under LPIPS: lpips.safetensors of a project, or torchvision's checkpoint. Default: random weights.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object, with every metric.")
@options.quiet
def command(
    folder: Path,
    originals: Path,
    masks: Path | None,
    missing: Any,
    given: Path | None,
    chosen: tuple[str, ...],
    trunk: Path | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score images against their originals, beside baselines on the same images: PSNR, SSIM and LPIPS, of the hole and
    its border with --masks, with 95 % bootstrap intervals and the paired difference to the best baseline.

    Files of the folders belong together by their names without the extension. Known pixels are taken from the original.
    """
    if masks is not None and given is not None:
        raise UsageError("--masks and --inputs both say what was restored; expected one of them")
    from afterimage.apply import scoring

    partners = {"original": originals, **({"mask": masks} if masks else {}), **({"input": given} if given else {})}
    wrong: list[str] = []
    found = _named(folder, wrong)
    files = {what: _named(path, wrong) for what, path in partners.items()}
    wrong += scoring.faults(found, files)
    names = scoring.methods(masks is not None, given is not None)
    if unknown := [name for name in chosen if name not in names]:
        raise UsageError(f"--baseline {unknown[0]}: there is {', '.join(names) or 'none without --masks or --inputs'}")
    if wrong:
        _end(wrong)
    paired = scoring.pairs(found, files["original"], files.get("mask"), files.get("input"))

    from afterimage.core import engine
    from afterimage.evaluation.metrics import MetricsRow

    def each() -> Iterator[tuple[scoring.Pair, scoring.Read]]:
        for pair in engine.progress(paired, "evaluate", len(paired), "image"):
            yield pair, scoring.read(pair, missing)

    for pair in paired:  # before minutes are spent on baselines
        try:
            scoring.read(pair, missing)
        except AfterimageError as error:
            wrong.append(str(error))
    if wrong:
        _end(wrong)
    lpips, origin = scoring.trunk(trunk)
    with options.progress(quiet):
        scores = scoring.score(each(), [name for name in names if name in (chosen or names)], lpips, origin)
    said = scoring.described(scores, MetricsRow(seed=seed, bootstrap=2000))
    click.echo(json.dumps(said, indent=2) if as_json else _text(said, folder.resolve().name, masks is not None))


def _named(folder: Path, wrong: list[str]) -> dict[str, Path]:
    """The images of a folder by their names; a second one of a name is a fault."""
    found: dict[str, Path] = {}
    for path, name in inputs.files(folder):
        if name in found:
            wrong.append(f"{path}: {found[name]} has the same name; expected one file a name")
        else:
            found[name] = path
    return found


def _end(wrong: list[str]) -> None:
    for line in wrong:
        click.echo(f"afterimage: {line}", err=True)
    sys.exit(1)


def _text(said: Mapping[str, Any], name: str, masked: bool) -> str:
    from tabulate import tabulate

    from afterimage.evaluation.results import METRICS

    results: Mapping[str, Mapping[str, Mapping[str, float]]] = said["results"]
    there = [key if key in results["images"] else key.replace("lpips", "lpips_untrained") for key in COLUMNS[masked]]
    lines = [
        [_short(name if row == "images" else row), *(_cell(found[key], METRICS[key].digits) for key in there)]
        for row, found in results.items()
    ]
    headings = ["", *(METRICS[key].heading.replace(" ", "\n").replace("_", "\n") for key in there)]
    texts = [tabulate(lines, headers=headings, stralign="right", disable_numparse=True)]
    if best := said.get("best_baseline"):
        by = METRICS[best["by"]].heading
        texts.append(
            f"{_short(name)} less {best['name']}, the best baseline by {by}, paired by image:\n\n"
            + tabulate(
                [_difference(METRICS[key], said["differences"][key]) for key in there],
                headers=["", "difference", "95 % interval", ""],
                disable_numparse=True,
            )
        )
    texts.append(f"{said['images']} images; intervals by bootstrap over images. LPIPS: {said['lpips_weights']}.")
    if masked and (off := said["known_pixels_off_by"]):
        texts.append(f"Known pixels were off by {255 * off:.2g} of 255 levels, and were taken from the originals.")
    return "\n\n".join(texts)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _cell(found: Mapping[str, float], digits: int) -> str:
    """A mean, and its interval in the line below."""
    mean, low, high = (_number(found[part], digits) for part in ("mean", "low", "high"))
    return f"{mean}\n{low}..{high}"


def _number(value: float, digits: int) -> str:
    """With fewer digits where there would be too many letters."""
    return next((text for few in range(digits, 0, -1) if len(text := f"{value:.{few}f}") <= DIGITS), f"{value:.0f}")


def _difference(metric: Any, found: Mapping[str, float | None]) -> list[str]:
    mean, low, high = found["mean"], found["low"], found["high"]
    assert mean is not None
    shown = f"{mean:+.{metric.digits}f}"
    if low is None or high is None:
        return [metric.heading, shown, "-", "one image tells nothing"]
    better = low > 0 if metric.higher_is_better else high < 0
    worse = high < 0 if metric.higher_is_better else low > 0
    verdict = "better" if better else "worse" if worse else "no difference shown"
    return [metric.heading, shown, f"{low:+.{metric.digits}f} to {high:+.{metric.digits}f}", verdict]
