"""A comparison as text for a terminal, as Markdown for a pull request, and as JSON."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from afterimage.evaluation.results import METRICS
from afterimage.review.differences import JUDGED, RATE, Change, Comparison, Reason, Verdict, named
from afterimage.review.revisions import Side

WIDTH = 100
"""Columns of a terminal."""
MOST = 20
"""Rows without a verdict that are listed: those that come closest to one."""
LONGEST = 200
"""Lines of a table of verdicts in Markdown: a comment on a pull request has an end."""
NAMES = 40
"""Names that a sentence lists."""
LONG = 300
"""Characters of a sentence that Markdown folds away."""
LARGE = 1e6
"""A number that is written with an exponent from here on."""
FIGURES = "reports/figures"
HEADINGS = ("row", "metric", "before", "after", "difference", "± 95 %", "verdict")
LEFT = (0, 1, 5, 6)
"""The columns of `HEADINGS` that begin at their left edge."""
WORDS = {verdict: verdict.value for verdict in Verdict} | {Verdict.CHANGED: "not judged"}
NARROW = {**WORDS, Verdict.UNSHOWN: "none shown"}
"""The words of a column of a terminal."""
MARKS = {Verdict.BETTER: "▲", Verdict.WORSE: "▼"}

Place = tuple[str, str]
"""A row and a case."""
Quote = Callable[[str], str]
"""How a name is set apart from the words around it."""


def text(comparison: Comparison, width: int = WIDTH) -> str:
    """What fits into so many columns, whatever rows are called: the verdicts, and what to know about them."""
    before, after = (_plain(side.name) for side in (comparison.before, comparison.after))
    if not _differs(comparison):
        return _wrapped(f"{before} and {after}: all {_size(comparison)} are the same, image by image.", width)
    shown = _shown(comparison)
    blocks = [
        [f"{before} -> {after}, {_size(comparison)}", ", ".join(_counts(comparison).values())],
        [*_left_out(comparison, shown, _plain), *_facts(comparison, _plain)],
        _method(comparison, _plain),
    ]
    parts = ["\n".join(_wrapped(line, width) for line in block) for block in blocks if block]
    return "\n\n".join([parts[0], *([_table(shown, width)] if shown else []), *parts[1:]])


def markdown(comparison: Comparison) -> str:
    """What a person wants to see on a pull request: how many are better and worse, which, and the rest folded away."""
    before, after = (code(side.name) for side in (comparison.before, comparison.after))
    if not _differs(comparison):
        return f"All {_size(comparison)} are the same at {before} and {after}, image by image.\n"
    counts = _counts(comparison)
    first = [f"**{MARKS[each]} {counts.pop(each)}**" for each in JUDGED if comparison.counts[each]]
    parts = [f"{', '.join([*first, *counts.values()])}: {_size(comparison)}, {before} → {after}."]
    shown = _shown(comparison)
    judged = [change for change in shown if change.verdict in JUDGED]
    others = [change for change in shown if change.verdict not in JUDGED]
    if judged:
        parts.append(_markdown_table(judged[:LONGEST]))
    if len(judged) > LONGEST:
        parts.append(f"{len(judged) - LONGEST} more verdicts: `afterimage diff` lists them.")
    facts = _facts(comparison, code)
    parts += [fact for fact in facts if len(fact) <= LONG]
    long = [fact for fact in facts if len(fact) > LONG]
    if others:
        left = _left_out(comparison, shown, code)
        parts.append(_folded("What else changed: no difference shown", _markdown_table(others), *left))
    if long or comparison.tests:
        parts.append(_folded("What was compared, and how", *long, *_method(comparison, code)))
    return "\n\n".join(parts) + "\n"


def plain(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain data for JSON, with every metric, unchanged ones too. An interval without an end has None."""
    return {
        "before": comparison.before.name,
        "after": comparison.after.name,
        "false_discovery_rate": RATE,
        "tests": comparison.tests,
        "counts": {verdict.value: comparison.counts[verdict] for verdict in Verdict},
        "unproven": comparison.unproven,
        "changes": [_plain_change(change) for change in comparison.changes],
    }


def changed_figures(before: Side, after: Side) -> list[str]:
    """The figures of the report whose bytes differ, and those of one side alone, by their paths in the project."""
    old, new = (side.read_all(side.files(FIGURES)) for side in (before, after))
    return [path for path in sorted(old | new) if old.get(path) != new.get(path)]


def _plain_change(change: Change) -> dict[str, Any]:
    found = change.difference
    interval = (found.low, found.high) if found else (None, None)
    low, high = (None if end is None or math.isinf(end) else end for end in interval)
    return {
        "kind": change.kind,
        "row": change.row,
        "case": change.case,
        "metric": change.metric,
        "verdict": change.verdict.value,
        "reason": change.reason and change.reason.value,
        "before": change.before,
        "after": change.after,
        "difference": found and found.mean,
        "low": low,
        "high": high,
        "p": found and found.p,
        "q": change.q,
        "images": change.images,
        "groups": found and found.groups,
        "seeds": list(change.seeds),
    }


# What is said, however it is set


def _differs(comparison: Comparison) -> bool:
    return any(change.verdict != Verdict.UNCHANGED for change in comparison.changes)


def _size(comparison: Comparison) -> str:
    rows = {(change.kind, change.name) for change in comparison.changes}
    return f"{len(comparison.changes)} metrics of {_many(len(rows), 'row')}"


def _counts(comparison: Comparison) -> dict[Verdict, str]:
    """How many metrics have each verdict, in words."""
    counts = comparison.counts
    found = {verdict: f"{counts[verdict]} {WORDS[verdict]}" for verdict in Verdict if counts[verdict]}
    if comparison.tests and not found.keys() & set(JUDGED):
        found = {Verdict.BETTER: "none better or worse", **found}
    return found


def _shown(comparison: Comparison) -> list[Change]:
    """The lines of the table: all verdicts, and the first metric of each row that changed, of as many as fit."""
    rows: dict[Any, list[Change]] = defaultdict(list)
    for change in comparison.changes:
        if change.difference:
            rows[change.kind, change.name].append(change)
    lines, open_lines = [], []
    for changes in rows.values():
        judged = [change for change in changes if change.verdict in JUDGED]
        first = next((change for change in changes if change.is_main), changes[0])
        if judged:
            lines += [*judged, *([] if first in judged else [first])]
        else:
            open_lines.append(first)
    closest = sorted(open_lines, key=lambda change: change.difference.p if change.difference else 1)[:MOST]
    kept = {id(change) for change in [*lines, *closest]}
    return [change for change in comparison.changes if id(change) in kept]


def _left_out(comparison: Comparison, shown: Sequence[Change], quote: Quote) -> list[str]:
    """What changed and has no line."""
    listed = {id(change) for change in shown}
    left = [change for change in comparison.changes if change.difference and id(change) not in listed]
    unshown = [change for change in left if change.verdict == Verdict.UNSHOWN]
    unjudged = dict.fromkeys(quote(change.metric) for change in left if change.verdict == Verdict.CHANGED)
    parts = []
    if unshown:
        rows = {change.name for change in unshown} - {change.name for change in shown}
        of = f"these rows and of {_many(len(rows), 'row')} further from a verdict" if rows else "these rows"
        parts.append(f"{_many(len(unshown), 'more metric')} of {of}, with no difference shown")
    if unjudged:
        parts.append(f"{', '.join(unjudged)}, of which neither more nor less is better")
    return [f"Also changed: {'; '.join(parts)}."] if parts else []


def _facts(comparison: Comparison, quote: Quote) -> list[str]:
    """What cannot be compared, and what only one side has."""
    found = {
        **{f"Not comparable, {why}": [each for each in comparison.changes if each.reason == why] for why in Reason},
        **{
            verdict.capitalize(): [each for each in comparison.changes if each.verdict == verdict]
            for verdict in (Verdict.NEW, Verdict.GONE)
        },
    }
    facts = [f"{what}: {_rows(changes, comparison, quote)}." for what, changes in found.items() if changes]
    for side, verdict in ((comparison.before, Verdict.NEW), (comparison.after, Verdict.GONE)):
        if comparison.counts[verdict] == len(comparison.changes):
            facts.append(f"Nothing is measured in {quote(side.name)}.")
    return facts


def _method(comparison: Comparison, quote: Quote) -> list[str]:
    """How verdicts come about, and what they do not know."""
    judged = [change for change in comparison.changes if change.q is not None]
    if not judged:
        return []
    groups = sorted({change.difference.groups for change in judged if change.difference})
    over = f"{groups[0]}" if len(groups) == 1 else f"{groups[0]} to {groups[-1]}"
    changed = "1 metric changed and was" if len(judged) == 1 else f"{len(judged)} metrics changed and were"
    said = [
        f"{changed} compared image by image, over {over} groups of images; ± is the 95 % interval (t with a bootstrap "
        f"standard error). Better and worse are what Benjamini-Hochberg leaves of {_many(len(judged), 'test')} at "
        f"{100 * RATE:.0f} % false discoveries, so an interval that leaves out zero may not be enough. None shown "
        "means that these images can show no difference, not that there is none."
    ]
    seeds = {max(change.seeds) for change in judged}
    if max(seeds) > 1:
        said.append("Where a row has several training seeds, the interval holds their spread.")
    if 1 in seeds:
        which = "The others have" if max(seeds) > 1 else "There is"
        said.append(f"{which} one training seed each: what another seed would give is not in the intervals.")
    notes = [" ".join(said)]
    if names := [quote(name) for name in comparison.unproven]:
        notes.append(
            f"{' and '.join(names)}: no provenance.json, so that only the keys and groups of images could be checked, "
            "and neither observations, definitions of metrics nor weights under LPIPS."
        )
    return notes


def _rows(changes: Iterable[Change], comparison: Comparison, quote: Quote) -> str:
    """The rows of these changes, with the metrics where it is not all of a row's."""
    every, own = _by_place(comparison.changes), _by_place(changes)
    found: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for place, metrics in own.items():
        found[() if metrics == every[place] else tuple(sorted(metrics))].append(place)
    parts = []
    for some, places in found.items():
        of = f"{', '.join(quote(metric) for metric in some)} of " if some else ""
        parts.append(f"{of}{'all rows' if len(places) == len(every) else _listed(_names(places, every), quote)}")
    return "; ".join(parts)


def _by_place(changes: Iterable[Change]) -> dict[Place, set[str]]:
    found: dict[Place, set[str]] = defaultdict(set)
    for change in changes:
        found[change.row, change.case].add(change.metric)
    return found


def _names(places: Sequence[Place], every: Iterable[Place]) -> list[str]:
    """What places are called: the row alone where all of its cases are among them."""
    partly = {row for row, _ in set(every) - set(places)}
    return list(dict.fromkeys(named(row, case) if row in partly else row for row, case in places))


def _listed(names: Sequence[str], quote: Quote) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return f"{', '.join(quote(name) for name in names[:NAMES])}{more}"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# How it is set


def _cells(change: Change) -> tuple[str, ...]:
    """The line of a change, a text for each of `HEADINGS`."""
    before, after, difference, half = _numbers(change)
    return (_plain(change.name), _plain(change.metric), before, after, difference, half, NARROW[change.verdict])


def _numbers(change: Change) -> tuple[str, str, str, str]:
    """Before, after, difference and half of the interval: with the metric's digits, or two of a smaller difference."""
    assert change.before is not None and change.after is not None and change.difference is not None
    mean, half = change.difference.mean, change.difference.high - change.difference.mean
    size = max(abs(mean), half if math.isfinite(half) else 0)
    if change.metric not in METRICS or max(abs(change.before), abs(change.after), size) >= LARGE:
        return f"{change.before:.5g}", f"{change.after:.5g}", f"{mean:+.2g}", f"± {half:.2g}"
    digits = METRICS[change.metric].digits
    before, after = f"{change.before:.{digits}f}", f"{change.after:.{digits}f}"
    digits = max(digits, 1 - math.floor(math.log10(size))) if size else digits
    if digits > 6:
        return before, after, f"{mean:+.1e}", f"± {half:.1e}"
    return before, after, f"{mean:+.{digits}f}", f"± {half:.{digits}f}"


def _table(changes: Sequence[Change], width: int) -> str:
    """A table with a heading for each kind of observation; the names of rows get what the numbers leave."""
    lines = [_cells(change) for change in changes]
    widths = [max(len(cell) for cell in column) for column in zip(HEADINGS, *lines, strict=True)]
    widths[1] = min(widths[1], 20)
    widths[0] = min(widths[0], width - sum(widths[1:]) - 2 * (len(widths) - 1))

    def line(cells: Sequence[str]) -> str:
        fitted = [_shortened(cell, size) for cell, size in zip(cells, widths, strict=True)]
        places = enumerate(zip(fitted, widths, strict=True))
        return "  ".join(f"{cell:{'<' if at in LEFT else '>'}{size}}" for at, (cell, size) in places).rstrip()

    written, kind, row = [line(HEADINGS)], None, None
    for change, cells in zip(changes, lines, strict=True):
        if change.kind != kind:
            kind = change.kind
            written.append(_shortened(_plain(kind) or "other", width))
        written.append(line(("", *cells[1:]) if change.name == row else cells))
        row = change.name
    return "\n".join(written)


def _markdown_table(changes: Sequence[Change]) -> str:
    lines = ["| | row | metric | before | after | difference ± 95 % |", "|---|---|---|--:|--:|--:|"]
    for change in changes:
        verdict = NARROW[change.verdict]
        verdict = f"**{MARKS[change.verdict]} {verdict}**" if change.verdict in JUDGED else verdict
        before, after, difference, half = _numbers(change)
        numbers = [
            before,
            after,
            f"{difference} {half}".replace("-", "\N{MINUS SIGN}").replace(" ", "\N{NO-BREAK SPACE}"),
        ]
        lines.append(f"| {' | '.join([verdict, code(change.name), code(change.metric), *numbers])} |")
    return "\n".join(lines)


def _folded(summary: str, *inside: str) -> str:
    return "\n\n".join([f"<details><summary>{summary}</summary>", *inside, "</details>"])


def _plain(name: str) -> str:
    """A name without what could steer a terminal: it may come from a revision of somebody else's."""
    return "".join(character if character.isprintable() else "�" for character in name)


def code(name: str) -> str:
    """A name as code, which can be no other markup, inside a table or not."""
    return f"`{_plain(name).replace('`', chr(39)).replace('|', '¦')}`"


def _shortened(name: str, width: int) -> str:
    """A name in so many columns, without its middle where it is longer."""
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"


def _wrapped(sentence: str, width: int) -> str:
    return textwrap.fill(sentence, width, break_on_hyphens=False)
