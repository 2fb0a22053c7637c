"""`afterimage verify`: whether this run gave the bits that are committed, and whether the disk still has them."""

import sys
from pathlib import Path

import click

from afterimage.cli import options


@click.command("verify")
@click.argument("revision", metavar="[REV]", default="HEAD")
@click.option("--record", is_flag=True, help="Say which machine this is in built-on.json, to commit with dvc.lock.")
@click.option(
    "--files", is_flag=True, help="Hash every output, DVC's cache and local remotes, and name what is damaged."
)
@options.project
def command(revision: str, record: bool, files: bool, project: Path) -> None:
    """Compare dvc.lock with the one of a revision: did this run build the same bits?

    REV is a branch, a tag or a commit; default: HEAD. The first stage that differs is named. The exit status is 1 where
    results are of other code or parameters than REV's, and where the bits differ on the kind of CPU that made REV's.
    On another kind a difference is said first, and does not fail.

    With --files nothing is compared with REV. Every file that dvc.lock has a hash of is read, and every object of DVC's
    cache and of remotes that are folders; each damaged one is named with the command that mends it. It takes as long as
    reading them: about 2 s for a GB from memory.
    """
    if files:
        _files(project)
        return
    from afterimage.review import rebuilds, revisions

    if record:
        click.echo(f"{rebuilds.record(project)}: {rebuilds.shown(rebuilds.compute.cpu())}")
        return
    committed = revisions.revision(project, revision)
    found = rebuilds.compare(committed, revisions.side(project, None))
    cpus = f"Built here on {rebuilds.shown(found.here)}, and at {committed.name} on {rebuilds.shown(found.there)}."
    if not found.differences:
        click.echo(f"All {found.stages} stages have the bits of {committed.name}. {cpus}")
        return
    if other := found.of_other_code:
        first = other[0]
        click.echo(
            f"afterimage: {first.stage}: {', '.join(first.inputs)}: not what dvc.lock of {committed.name} was made "
            f"with, nor in {len(other) - 1} more stages; `dvc repro` and commit what it wrote.",
            err=True,
        )
        sys.exit(1)
    first = found.first or found.differences[0]
    loud = not found.same_kind
    rule = "*" * 78
    lines = [
        *([rule, "THE BITS DIFFER ON ANOTHER KIND OF CPU"] if loud else []),
        f"{first.stage} is the first of {len(found.differences)} stages (of {found.stages}) whose outputs are not "
        f"those of {committed.name}: {', '.join(first.outputs)}.",
        cpus,
        *(
            [rule]
            if loud
            else ["On the same kind of CPU the bits must be the same: docs/review.md says where to look."]
        ),
    ]
    click.echo("\n".join(lines), err=True)
    if not loud:
        sys.exit(1)


def _files(project: Path) -> None:
    from afterimage.review import integrity

    found = integrity.examine(project)
    for damage in found.damages:
        click.echo(f"afterimage: {damage.path}: {damage.what}; `{damage.mend}` mends it.", err=True)
    if found.damages:
        sys.exit(1)
    click.echo(
        f"{found.outputs} outputs are what dvc.lock says, and {found.objects} objects of the cache and local remotes "
        f"what their names say; {found.bytes / 1e6:.0f} MB were read in {found.seconds:.1f} s."
    )
    if found.absent:
        click.echo(f"Not here: {', '.join(found.absent)}.")
