"""A card in words: plain text of at most 100 columns, or Markdown for a model card or a pull request."""

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from afterimage.core import layout
from afterimage.evaluation.metrics import Interval
from afterimage.evaluation.results import MAIN, METRICS, PROVENANCE, Metric, shown_value
from afterimage.observations import row_of
from afterimage.observations.frames import CARE
from afterimage.report.project import TRAINED
from afterimage.report.shared import FEW_GROUPS
from afterimage.review import rebuilds
from afterimage.review.cards import DECIDES, LOCK, OBSERVED, Card, Case, Part

WIDTH, LABEL, GAP = 100, 13, 2
"""In columns: of all, of what a paragraph is called, and between the columns of a table."""
BESIDE = 8
"""Lines of baselines in a table, the best first; at least two of each level."""
TITLE = ("kind", "dataset", "observes", "observation")
"""Keys of rows that the title says already."""
ABSENT = "nothing"
GROUPS = 6
"""Up to so many groups are listed by name."""
DIGITS = 12
"""So much of a hash is printed."""
NOUNS = {OBSERVED: "Observation", "datasets": "Data set", "encoders": "Weights", TRAINED: "Model", "searches": "Search"}
"""What a row of a section is called."""


class Line(NamedTuple):
    """A line of the table."""

    label: str
    values: Mapping[str, Interval]
    own: bool
    """Of the row itself; or else of a baseline beside it, which is shown without intervals."""


def text(card: Card) -> str:
    """The card for a terminal."""
    lines = [*textwrap.wrap(_title(card), WIDTH), "", *_table(card), ""]
    for label, sentences in _facts(card).items():
        for number, sentence in enumerate(sentences):
            first = ("" if number else label).ljust(LABEL)
            lines += textwrap.wrap(
                sentence, WIDTH, initial_indent=first, subsequent_indent=" " * LABEL, break_on_hyphens=False
            )
    return "\n".join(lines)


def markdown(card: Card) -> str:
    """The card as a section of a page."""
    names = _names(card)
    table = [["", *(_heading(name) for name in names)], ["---", *("--:" for _ in names)]]
    for line in _lines(card):
        values = [f"{mean} ({between})" if between else mean for mean, between in (_cell(line, name) for name in names)]
        table.append([f"`{line.label}`" if line.own else f"baseline `{line.label}`", *values])
    rows = [f"| {' | '.join(cells)} |" for cells in table] if card.cases else ["Not measured."]
    facts = [f"- **{label}**: {' '.join(sentences)}" for label, sentences in _facts(card).items()]
    return "\n".join([f"### {_title(card)}", "", *rows, "", *facts])


def _title(card: Card) -> str:
    row = card.parts[0].parameters or card.parts[0].today or {}
    what = "baselines of" if card.section == OBSERVED else f"{row.get('kind', 'unknown kind')} of {card.observation},"
    return f"{card.name}: {what} {card.kind} of {card.dataset}"


# The table


def _table(card: Card) -> list[str]:
    """As many columns side by side as there is room for, the others below."""
    if not card.cases:
        return ["Not measured."]
    lines, names = _lines(card), _names(card)
    labels = [""]
    columns = {name: [_heading(name)] for name in names}
    for line in lines:
        labels += [line.label, ""] if line.own else [f"  {line.label}"]
        for name, column in columns.items():
            column += _cell(line, name)[: 2 if line.own else 1]
    found: list[str] = []
    waiting = list(columns.values())
    while waiting:
        width = max(map(len, labels))
        side = [[label.ljust(width) for label in labels]]
        while waiting and (len(side) == 1 or width + GAP + max(map(len, waiting[0])) <= WIDTH):
            column = waiting.pop(0)
            room = max(map(len, column))
            width += GAP + room
            side.append([cell.ljust(room) for cell in column])
        rows = (cells for cells in zip(*side, strict=True) if "".join(cells[1:]).strip(" -"))
        found += ["", *((" " * GAP).join(cells).rstrip() for cells in rows)]
    return found[1:]


def _names(card: Card) -> list[str]:
    """The metrics of the table, the one that rows are ranked by first."""
    return list(dict.fromkeys(name for case in card.cases.values() for name in case.headline))


def _lines(card: Card) -> list[Line]:
    """The cases of a row, each followed by the best baselines of its level; those that all share stand at the end."""
    cases = list(card.cases.values())
    labels = card.cases if len(cases) > 1 or card.section == OBSERVED else [card.name]
    own = [Line(label, case.metrics, True) for label, case in zip(labels, cases, strict=True)]
    beside = [
        [Line(method, values, False) for method, values in list(case.baselines.items())[: _most(card)]]
        for case in cases
    ]
    if _shared(card):
        return own + beside[0]
    return [line for first, rest in zip(own, beside, strict=True) for line in (first, *rest)]


def _shared(card: Card) -> bool:
    """Whether all cases stand beside the same numbers: those of ways to search, and not those of levels."""
    cases = list(card.cases.values())
    return all(case.baselines == cases[0].baselines for case in cases)


def _most(card: Card) -> int:
    """The baselines that are shown of each level."""
    return BESIDE if _shared(card) else max(2, BESIDE // len(card.cases))


def _cell(line: Line, name: str) -> tuple[str, str]:
    """A mean, and of a line of the row the interval around it."""
    if name not in line.values:
        return "-", ""
    shown = shown_value(line.values[name], _metric(name).digits)
    return shown["mean"], f"{shown['low']}–{shown['high']}" if line.own else ""


def _metric(name: str) -> Metric:
    return METRICS.get(name) or Metric(name, 4, None, "")  # one that only this reconstructor knows


def _heading(name: str) -> str:
    metric = _metric(name)
    return metric.heading + {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]


# The sentences


def _facts(card: Card) -> dict[str, list[str]]:
    """What a card says besides the table, by what it is about."""
    facts: dict[str, list[str]] = {}
    if card.cases:
        facts |= {"Baselines": list(_gains(card)), "Test images": list(_images(card)), "Metrics": list(_metrics(card))}
    for number, part in enumerate(card.parts):
        facts.setdefault(NOUNS[part.section] if number else "Row", []).extend(_part(part))
    facts["Row"] += _model(card)
    facts |= {"Commit": list(_commit(card)), "Machine": list(_machine(card))}
    if card.kind == "frames":
        facts["Care"] = [CARE]
    return {label: sentences for label, sentences in facts.items() if sentences}


def _gains(card: Card) -> Iterator[str]:
    metric = _metric(MAIN[card.kind])
    gains = [(name, case, case.gain) for name, case in card.cases.items() if case.gain]
    if gains:
        unit = _unit(gains[0][1])
        yield f"{metric.heading} over the best, image by image; 95 % intervals of Student's t over {unit}:"
    elif card.section != OBSERVED:
        yield "None were measured on these images."
    for name, case, gain in gains:
        shown = shown_value(Interval(*gain[:3]), metric.digits, signed=True)
        where = f"{name} " if len(gains) > 1 else ""
        zero = "" if gain.low * gain.high > 0 else ", which includes 0"
        yield f"{where}{shown['mean']} over {next(iter(case.baselines))} ({shown['low']} to {shown['high']}{zero})."
    if any(len(case.baselines) > _most(card) for case in card.cases.values()):
        yield f"All of them: `afterimage card {row_of(card.observation)}`."


def _images(card: Card) -> Iterator[str]:
    case, measured = next(iter(card.cases.values())), card.measured
    count, unit = len(case.groups), _unit(case)
    names = ": " + ", ".join(f"{name} {images}" for name, images in case.groups.items()) if count <= GROUPS else ""
    groups = f"{count} {'groups' if count > 1 else 'group'}{names}"
    yield f"{case.images} images of the test split of {card.dataset}, in {groups}."
    narrow = f"; with so few {unit} they are too narrow" if (count if count > 1 else case.images) < FEW_GROUPS else ""
    samples, seed = card.settings["bootstrap"], card.settings["seed"]
    seeds = (measured or {}).get("seeds") or []
    drawn = f"{unit} and training seeds" if len(seeds) > 1 else unit
    yield f"Intervals of the table: 95 %, bootstrap over {drawn} ({samples} resamples, seed {seed}){narrow}."
    if measured is None:
        yield f"Hashes of images and observations, seeds, definitions of metrics: not recorded (no {PROVENANCE})."
        return
    observed = measured["observations"]
    hashes = {
        "images": measured["images"],
        **{"observations" if len(observed) == 1 else f"observations {name}": found for name, found in observed.items()},
        "LPIPS": measured["lpips"],
    }
    yield f"sha256: {', '.join(f'{name} {found[:DIGITS]}' for name, found in hashes.items())}."
    yield f"Training seeds: {', '.join(map(str, seeds)) or 'none, nothing is trained'}."


def _unit(case: Case) -> str:
    """What is drawn: groups, or the images of the only one."""
    return "groups" if len(case.groups) > 1 else "images"


def _metrics(card: Card) -> Iterator[str]:
    known = (card.measured or {}).get("metrics", {})
    for name in _names(card):
        if name in known:
            yield f"{_metric(name).heading}: {known[name]}."


def _part(part: Part) -> Iterator[str]:
    said = {key: value for key, value in (part.parameters or part.today or {}).items() if key not in TITLE}
    read = f", {part.path} md5 {part.md5[:DIGITS]}" if part.path and part.md5 else ""
    yield f"{part.name} {_flow(said)}{read}."
    if part.parameters is None:
        yield f"Not made yet, or that is not committed: {LOCK} does not have it."
    elif part.today is None:
        yield "Gone from params.yaml since."
    elif changes := list(_changes(part.parameters, part.today)):
        told = "; ".join(f"{key} {_flow(then)} → {_flow(now)}" for key, then, now in changes)
        yield f"Changed in params.yaml since: {told}."


def _changes(then: Any, now: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The values that differ, by dotted key; the entries of a list of mappings by their number."""
    then, now = _numbered(then), _numbered(now)
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from _changes(then.get(key, ABSENT), now.get(key, ABSENT), f"{place}.{key}" if place else key)
    elif then != now:
        yield place, then, now


def _numbered(value: Any) -> Any:
    mappings = isinstance(value, list) and any(isinstance(each, dict) for each in value)
    return {str(number): each for number, each in enumerate(value)} if mappings else value


def _flow(value: Any) -> str:
    """A value as params.yaml has it, on one line; of a list of mappings only how long it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]" if _numbered(value) is value else f"[entries: {len(value)}]"
    return json.dumps(value)


def _model(card: Card) -> list[str]:
    if card.section != TRAINED:
        return []
    if card.model is None:
        return [f"Parameters and epochs of the network: not known here, {layout.model(card.name)} was not pulled."]
    words, parameters, epochs = (card.model[key] for key in ("words", "parameters", "epochs"))
    count = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    return [f"Network: {words}, {parameters:,} parameters, {count}."]


def _commit(card: Card) -> Iterator[str]:
    code = card.code
    if isinstance(code, str):
        yield f"Not known. {code}"
        return
    yield f"{code.commit[:DIGITS]} of {code.day}."
    own = (f"{layout.measured(card.name).as_posix()}/", f"{layout.metrics(card.kind, card.name).as_posix()}/")
    if any(path.startswith(own) for path in code.differs):
        yield "THE NUMBERS ABOVE ARE NOT COMMITTED."
    elif code.numbers:
        yield f"The numbers last changed in {code.numbers[0][:DIGITS]} of {code.numbers[1]}."
    if code.differs:
        places = Counter(next(each for each in DECIDES if path.startswith(each)) for path in code.differs)
        files = ", ".join(f"{place} ({count})" if count > 1 else place for place, count in places.items())
        yield f"The working tree differs from it in {files}."
    else:
        yield "Parameters, code, dvc.lock and results of the working tree are those of it."


def _machine(card: Card) -> Iterator[str]:
    built = card.built_on
    if built:
        packages = ", ".join(f"{name} {version}" for name, version in built["packages"].items())
        yield f"{rebuilds.shown(built['cpu'])}, {built['system']}, Python {built['python']}, {packages}."
    else:
        yield f"The one that made what is committed: not recorded, there is no {rebuilds.BUILT_ON}."
    if card.compute:
        yield f"Compute: {_flow(card.compute)[1:-1]}."
    for run in card.runs:
        torch = run.get("packages", {}).get("torch")
        about = f"{run['seconds']:.0f} s on {run['device']}" + (f", torch {torch}" if torch else "")
        yield f"Last run here: {run['stage']}, {run['started'][:10]}, {about}."
