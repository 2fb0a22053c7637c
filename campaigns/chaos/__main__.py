"""Bad luck in mid-run, drawn from a seed: `python -m campaigns.chaos --kills 100 --seed N`.

It builds the tests' tiny project, and strikes copies of it. The exit status is 1 where one did not end as the project
that was left in peace. `--only` repeats the kill of a number.
"""

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from afterimage.core import outputs
from campaigns.chaos import flips, kills, luck
from campaigns.chaos.ground import faults, in_peace, prepare
from campaigns.tiny import ROOT, Project

RECORD = ROOT / "campaigns/results/chaos.json"
PARTS = ("kills", "luck", "flips")


@click.command(help=__doc__)
@click.option("--kills", "count", type=click.IntRange(min=0), default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, help="Default: drawn, and shown.")
@click.option("--only", type=int, help="The kill of this number, and nothing else.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this; may be repeated.")
@click.option("--record", is_flag=True, help=f"Write each part into {RECORD.relative_to(ROOT)}, stroke by stroke.")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder where campaigns.tiny.build built the project before, to save its two minutes.",
)
def main(
    count: int, seed: int | None, only: int | None, parts: tuple[str, ...], record: bool, project: Path | None
) -> None:
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    click.echo(f"seed {seed}")
    faulty = total = 0
    with tempfile.TemporaryDirectory(prefix="afterimage-chaos-") as work:
        folder = Path(work)
        peace = in_peace(Project(project / "project", project / "home")) if project else prepare(folder)
        campaigns: dict[str, Iterator[Any]] = {
            "kills": kills.all_of(peace, seed, range(count) if only is None else [only], folder / "struck"),
            "luck": luck.all_of(peace, seed, folder / "struck"),
            "flips": flips.all_of(peace, seed, folder / "struck"),
        }
        for part in ("kills",) if only is not None else parts or PARTS:
            started = time.monotonic()
            strokes: list[dict[str, Any]] = []
            for stroke in campaigns[part]:
                click.echo(f"{time.monotonic() - started:5.0f} s  {stroke}")
                strokes.append(stroke._asdict())
                total += 1
                faulty += bool(stroke.faults)
                if record:
                    _record(part, {"seed": seed, "seconds": round(time.monotonic() - started), "strokes": strokes})
        spoilt = faults(peace.project, peace._replace(inodes={}))  # what all copies share
    click.echo(f"{total} strokes, {faulty} with faults")
    if spoilt:
        click.echo(f"the project that was left in peace: {spoilt}", err=True)
    sys.exit(bool(faulty or spoilt))


def _record(part: str, found: dict[str, Any]) -> None:
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    outputs.write_json(RECORD, {**known, part: found})


if __name__ == "__main__":
    main()
