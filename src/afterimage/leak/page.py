"""What was measured in words, as tables for people and programs, and as one page that asks for nothing elsewhere."""

import base64
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afterimage import report
from afterimage.core import outputs
from afterimage.evaluation.metrics import Interval
from afterimage.evaluation.results import METRICS, shown_value
from afterimage.leak import figure
from afterimage.leak.figure import Mark
from afterimage.leak.measuring import ITSELF, PERSON, Leak, Result, Told
from afterimage.report import grids

HTML, JSON, CSV = "leak.html", "leak.json", "leak.csv"
FILES = (HTML, JSON, CSV)
SHOWN = 6
"""Photographs on the page."""
CHANCE = 0.5


def write(leak: Leak, out: Path) -> None:
    """Write `leak.html`, `leak.json` and `leak.csv` into a folder, the same bytes for the same results."""
    plain = described(leak)
    outputs.write_json(out / JSON, plain)
    lines = [_flat(line) for line in plain["results"]]
    columns = list(dict.fromkeys(column for line in lines for column in line))
    outputs.write_csv(out / CSV, columns, ([line.get(column, "") for column in columns] for line in lines))
    question, sizes = _question(leak), sorted(leak.ends)
    values = {
        "leak": leak,
        "plain": plain,
        "sentences": sentences(leak),
        "metrics": METRICS,
        "quality": list(leak.results[0].quality),
        "lines": [_line(each, question) for each in by_leakage(leak)],
        "ends": [(size, *_ends(leak, size)) for size in sizes],
        "several": len(sizes) > 1,
        "utility": leak.labels is not None,
        "people": leak.seen.pairs,
        "is_probe_of_people": leak.labels is not None and set(leak.labels.labels) <= set(leak.seen.people),
        "scatter": _drawn(lambda path: _scatter(path, leak, question)),
        "pictures": _drawn(lambda path: _pictures(path, leak)),
        "shown": len(_places(leak)),
    }
    report.page(out / HTML, HTML, values)


def described(leak: Leak) -> dict[str, Any]:
    """All results as plain data."""
    network, labels, people = leak.network, leak.labels, leak.seen.people
    return {
        "encoder": leak.encoder,
        "photographs": len(people),
        "people": len(set(people)) if leak.seen.pairs else None,
        "identity": {"network": network.words, "knows_people": network.knows_people, "sha256": network.sha256},
        "utility": None
        if labels is None
        else {
            "photographs": len(labels.places),
            "labels": len(set(labels.labels)),
            "folds": labels.folds,
            "majority": round(labels.majority, 6),
        },
        "ends": {
            str(size): {
                "originals": ends.originals and _told(ends.originals),
                "mean": {question: _told(each) for question, each in ends.mean.items()},
            }
            for size, ends in sorted(leak.ends.items())
        },
        "results": [
            {
                "row": each.row,
                "attacker": each.attacker,
                **each.known._asdict(),
                "quality": {name: _plain(value) for name, value in each.quality.items()},
                "identity": {question: _told(value) for question, value in each.told.items()},
                "utility": None if each.utility is None else _plain(each.utility),
            }
            for each in by_leakage(leak)
        ],
    }


def by_leakage(leak: Leak) -> list[Result]:
    """The results, what leaks most first."""
    question = _question(leak)
    return sorted(leak.results, key=lambda each: -each.told[question].auc.mean)


def sentences(leak: Leak) -> list[str]:
    """The answer: what the store that leaks most gives away, and what the one that leaks least."""
    ordered = by_leakage(leak)
    said = [_sentence(leak, ordered[0])]
    stores = {each.known for each in ordered}
    worst = {known: next(each for each in ordered if each.known == known) for known in stores}
    least = min(worst.values(), key=lambda each: each.told[_question(leak)].auc.mean)
    if least.known != ordered[0].known:
        said.append(_sentence(leak, least))
    return said


def stored(result: Result) -> str:
    """What is kept, in words: `relu3_3 in float16, noise 0.3`."""
    known = result.known
    return f"{known.layers} in {known.dtype}{f', {known.defence}' if known.defence else ''}"


def _sentence(leak: Leak, result: Result) -> str:
    question = _question(leak)
    told, ends = result.told[question], leak.ends[result.known.size]
    what = "a person can be told from a stranger" if question == PERSON else "a photograph can be told from others"
    most = f"where original photographs give {_percent(ends.originals.auc)} % and" if ends.originals else "where"
    use = ""
    if result.utility is not None and leak.labels is not None:
        use = (
            f" A linear probe reads the label of {_percent(result.utility)} % of the photographs from the same features"
            f" ({_percent(leak.labels.majority)} % have the commonest one)."
        )
    return (
        f"From {stored(result)}, {what} in {_percent(told.auc)} % of pairs, {most} chance 50 %; at a threshold that "
        f"lets one stranger in a hundred pass, {_percent(told.accepted)} % are recognised.{use}"
    )


def _percent(value: Interval | float) -> str:
    return f"{100 * (value.mean if isinstance(value, Interval) else value):.0f}"


def _question(leak: Leak) -> str:
    return PERSON if leak.seen.pairs else ITSELF


def _line(result: Result, question: str) -> dict[str, Any]:
    """A line of the page's table."""
    return {
        "row": result.row,
        "attacker": result.attacker,
        "known": result.known,
        "kilobytes": f"{result.known.bytes / 1000:.0f}",
        "quality": [shown_value(value, METRICS[name].digits) for name, value in result.quality.items()],
        **_cells(result.told, question),
        "utility": result.utility and _hundredfold(result.utility),
    }


def _ends(leak: Leak, size: int) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    ends, question = leak.ends[size], _question(leak)
    originals = None if ends.originals is None else _cells({PERSON: ends.originals}, PERSON)
    return originals, _cells(ends.mean, question)


def _cells(told: Mapping[str, Told], question: str) -> dict[str, Any]:
    own = told.get(ITSELF)
    return {
        "auc": _hundredfold(told[question].auc),
        "accepted": _hundredfold(told[question].accepted),
        "itself": own and _hundredfold(own.accepted),
    }


def _hundredfold(value: Interval) -> dict[str, str]:
    return shown_value(Interval(*(100 * part for part in value)), 1)


def _told(told: Told) -> dict[str, Any]:
    return {
        "auc": _plain(told.auc),
        "accepted": _plain(told.accepted),
        "pairs": told.pairs,
        "strangers": told.strangers,
    }


def _plain(value: Interval) -> dict[str, float]:
    return {name: float(f"{part:.6g}") for name, part in value._asdict().items()}


def _flat(line: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A line of results as cells of a table, the names of nested values joined."""
    found: dict[str, Any] = {}
    for name, value in line.items():
        key = f"{before}{name}"
        found |= _flat(value, f"{key}_") if isinstance(value, Mapping) else {key: "" if value is None else value}
    return found


# Figures


def _scatter(path: Path, leak: Leak, question: str) -> None:
    probed = leak.labels is not None
    marks = []
    for result in leak.results:
        across = result.utility if result.utility is not None else result.quality["psnr"]
        name = ", ".join(part for part in (result.known.layers, result.known.dtype, result.known.defence) if part)
        searched = sum(other.known == result.known for other in leak.results) > 1
        marks.append(Mark(f"{name}, {result.attacker}" if searched else name, across, result.told[question].auc))
    ends = [each.originals.auc.mean for each in leak.ends.values() if each.originals]
    figure.leakage(
        path,
        marks,
        across="Labels read by a linear probe" if probed else "PSNR in dB",
        up="Person told from a stranger" if question == PERSON else "Photograph told from others",
        share=probed,
        levels={"originals": max(ends), "chance": CHANCE} if ends else {"chance": CHANCE},
        least=leak.labels.majority if leak.labels else None,
    )


def _pictures(path: Path, leak: Leak) -> None:
    """Originals, and below them what comes back, from most to least."""
    places = _places(leak)
    size = max(leak.ends)
    lines = [("original", leak.seen.at(size)[places])]
    for each in by_leakage(leak):
        known = each.known
        parts = [known.layers.replace(" + ", " +\n"), known.dtype, *known.defence.split(", "), each.attacker]
        lines.append(("\n".join(part for part in parts if part), each.rebuilt[places]))
    grids.strips(path, "", [(name, np.concatenate(list(some), axis=1)) for name, some in lines])


def _places(leak: Leak) -> Sequence[int]:
    """Photographs evenly spaced over all of them."""
    count = len(leak.seen.photographs)
    few = min(SHOWN, count)
    return [(2 * number + 1) * count // (2 * few) for number in range(few)]


def _drawn(draw: Callable[[Path], None]) -> str:
    """A figure as an address that holds all of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(path)
        return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
