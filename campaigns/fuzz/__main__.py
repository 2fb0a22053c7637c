"""Give damaged and hostile inputs to everything that reads what comes from outside: `python -m campaigns.fuzz`.

One seed gives one campaign. An input that ends otherwise than well or with one clear line is kept under
.afterimage/fuzz/, with the command that repeats it; the exit status is then 1.
"""

import json
import os
import time
from collections import Counter
from pathlib import Path

import click

from afterimage.core import stage
from campaigns.fuzz import workers
from campaigns.fuzz.targets import TARGETS

FAULTS = Path(".afterimage/fuzz")
RECORD = Path("campaigns/results/fuzz.json")


@click.command()
@click.option("--inputs", default=2000, show_default=True, help="How many, dealt out over the targets.")
@click.option("--seed", default=1, show_default=True, help="What they are drawn from.")
@click.option("--target", "names", multiple=True, type=click.Choice(list(TARGETS)), help="Only this; may be repeated.")
@click.option("--number", type=int, help="Only the input of this number: it is laid out, and read once.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes.")
@click.option("--limit", default=60.0, show_default=True, help="Seconds for an input.")
@click.option("--record", is_flag=True, help=f"Write the figures to {RECORD}.")
def main(
    inputs: int, seed: int, names: tuple[str, ...], number: int | None, jobs: int, limit: float, record: bool
) -> None:
    """Search for inputs that the project does not survive."""
    targets = {name: TARGETS[name] for name in names or TARGETS}
    for target in TARGETS.values():  # those of others too: what making them imports is then there, whichever are read
        target.seeds()
    each = [(name, place) for place in range(-(-inputs // len(targets))) for name in targets][:inputs]
    if number is not None:
        each = [(name, number) for name in targets]
    started = time.monotonic()
    outcomes, peak, findings = Counter[str](), 0, []
    for outcome in workers.run((workers.Job(name, seed, place) for name, place in each), targets, jobs, limit):
        outcomes[outcome.ended] += 1
        peak = max(peak, outcome.peak)
        if number is not None:
            click.echo(f"{outcome.job.target}: {outcome.ended} {outcome.text}")
        if outcome.is_finding or number is not None:
            place = keep(outcome)
        if outcome.is_finding:
            findings.append(f"{outcome.job.target} {outcome.job.number}: {outcome.ended}: {outcome.text}")
            click.echo(f"{findings[-1]}\n  {place}", err=True)
    seconds = time.monotonic() - started
    ended = ", ".join(f"{name} {count}" for name, count in outcomes.most_common())
    click.echo(f"seed {seed}: {len(each)} inputs in {seconds:.0f} s, peak {peak / 1e6:.0f} MB a process: {ended}")
    if record:
        figures = {
            "seed": seed,
            "inputs": dict(Counter(name for name, _ in each)),
            "outcomes": dict(outcomes),
            "findings": findings,
            "seconds": round(seconds),
            "processes": jobs,
            "peak_mb": round(peak / 1e6),
            "python": stage.machine()["python"],
            "packages": stage.machine()["packages"],
        }
        RECORD.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if findings:
        raise SystemExit(f"{len(findings)} findings; they are kept under {FAULTS}")


def keep(outcome: workers.Outcome) -> Path:
    """Write an input, how it ended and the command that repeats it to a folder of its own."""
    name, seed, number = outcome.job
    place = FAULTS / f"{name}-{seed}-{number}"
    for path, data in TARGETS[name].make(seed, number).items():
        (place / "input" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "input" / path).write_bytes(data)
    again = f"python -m campaigns.fuzz --target {name} --seed {seed} --number {number}"
    (place / "outcome.txt").write_text(f"{outcome.ended}: {outcome.text}\n{again}\n", encoding="utf-8")
    return place


if __name__ == "__main__":
    main()
