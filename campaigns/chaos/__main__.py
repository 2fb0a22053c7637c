"""Bad luck in mid-run, drawn from a seed: `python -m campaigns.chaos --kills 100 --seed N`.

It builds the tests' tiny project, and strikes copies of it. The exit status is 1 where one did not end as the project
that was left in peace. `--only` repeats one kill of a seed by its number.
"""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from afterimage.core import outputs
from campaigns.chaos import flips, kills, luck
from campaigns.chaos.ground import faults, in_peace, prepare
from campaigns.tiny import ROOT, Project

RECORD = ROOT / "campaigns/results/chaos.json"


@click.command(help=__doc__)
@click.option("--kills", "count", type=click.IntRange(min=0), default=100, show_default=True, help="How many.")
@click.option("--seed", type=int, help="Default: drawn, and shown.")
@click.option("--only", type=int, help="The kill of this number alone.")
@click.option("--record", is_flag=True, help=f"Write {RECORD.relative_to(ROOT)}.")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder where the tiny project was built before, to save its two minutes.",
)
def main(count: int, seed: int | None, only: int | None, record: bool, project: Path | None) -> None:
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    click.echo(f"seed {seed}")
    started = time.monotonic()
    found: dict[str, Any] = {"seed": seed}
    faulty = 0
    with tempfile.TemporaryDirectory(prefix="afterimage-chaos-") as work:
        folder = Path(work)
        peace = in_peace(Project(project / "project", project / "home")) if project else prepare(folder)
        campaigns = {"kills": kills.all_of(peace, seed, range(count) if only is None else [only], folder / "struck")}
        if only is None:
            campaigns["luck"] = luck.all_of(peace, seed, folder / "unlucky")
            campaigns["flips"] = flips.all_of(peace, seed, folder / "flipped")
        for name, strokes in reversed(campaigns.items()):
            found[name] = []
            for stroke in strokes:
                click.echo(f"{time.monotonic() - started:5.0f} s  {stroke}")
                faulty += bool(stroke.faults)
                found[name].append(stroke._asdict())
                found["seconds"] = round(time.monotonic() - started)
                if record:
                    outputs.write_json(RECORD, found)
        spoilt = faults(peace.project, peace._replace(inodes={}))  # what all copies share
    click.echo(f"{sum(len(found[name]) for name in campaigns)} strokes, {faulty} with faults")
    if spoilt:
        click.echo(f"the project that was left in peace: {spoilt}", err=True)
    sys.exit(bool(faulty or spoilt))


if __name__ == "__main__":
    main()
