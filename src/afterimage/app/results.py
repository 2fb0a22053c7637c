"""The page Results: the numbers, figures and curves of the current run, and what changed since another revision."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from afterimage import observations
from afterimage.app import models, widgets
from afterimage.core import layout
from afterimage.evaluation import results as measured
from afterimage.evaluation.results import MAIN, METRICS
from afterimage.report import tables
from afterimage.review import differences, revisions
from afterimage.review.differences import Change, Verdict

Numbers = dict[str, dict[str, float]]
"""The means of each file of metrics, by `<kind of observation>/<row>/<case>`."""
ONLY = "test"
"""The case of a row that is measured in one."""
INTERVAL = "95 %"
ABOUT = ("row", "observation", INTERVAL, "images")
"""Columns that are no metrics."""
MARKS = {Verdict.BETTER: "▲ ", Verdict.WORSE: "▼ "}


def show() -> None:
    now = _headlines(models.project() / "metrics")
    if not now:
        st.info("Nothing is measured here yet. `make repro` runs the pipeline.", icon=":material/info:")
        return
    parts: dict[str, Callable[[], None]] = {
        "Numbers": lambda: _numbers(now),
        "Figures": _figures,
        "Training": _training,
        "Difference": _difference,
    }
    for tab, part in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            part()


def _headlines(folder: Path) -> Numbers:
    files = sorted(folder.rglob("*.json"))
    return {path.relative_to(folder).with_suffix("").as_posix(): measured.read_json(path) for path in files}


def _numbers(now: Numbers) -> None:
    """The tables of `afterimage rows`, one a kind of observation, with all metrics and an interval."""
    for kind, lines in tables.results(models.project()).items():
        found = [_line(kind, line, now) for line in lines if _name(kind, line) in now]
        if found:
            st.header(kind.capitalize(), anchor=False)
            _table(found, MAIN[kind])
    st.caption(
        "Means over the test images, measured on the saved 8-bit pictures. The interval is that of the metric before "
        "it, by bootstrap over groups of images. `reports/index.html` has the whole report."
    )


def _name(kind: str, line: Mapping[str, Any]) -> str:
    """What revisions call a line of a table."""
    return f"{kind}/{line['row']}/{line['case']}"


def _line(kind: str, line: Mapping[str, Any], now: Numbers) -> dict[str, Any]:
    row, case = line["row"], line["case"]
    path = models.project() / layout.measured(row) / case / "intervals.json"
    intervals = measured.read_json(path) if path.is_file() else {}
    interval, digits = (intervals.get("metrics") or {}).get(MAIN[kind]), METRICS[MAIN[kind]].digits
    return {
        "row": row if case == ONLY else f"{row}/{case}",
        "observation": line["observation"],
        INTERVAL: f"{interval['low']:.{digits}f} to {interval['high']:.{digits}f}" if interval else None,
        "images": intervals.get("images"),
        **now[_name(kind, line)],
    }


def _table(lines: list[dict[str, Any]], main: str) -> None:
    names = dict.fromkeys(name for line in lines for name in line)
    metrics = [name for name in METRICS if name in names and name != main]
    others = [name for name in names if name not in (*METRICS, *ABOUT)]
    order = ["row", "observation", main, INTERVAL, *metrics, *others, "images"]
    columns: dict[str, Any] = {
        "row": st.column_config.TextColumn("Row", pinned=True, width=270),
        "observation": "Observation",
        INTERVAL: INTERVAL,
        "images": "Images",
    }
    for name in (main, *metrics, *others):
        about = METRICS.get(name)
        heading = about.heading if about else name.replace("_", " ")
        arrow = {True: " ↑", False: " ↓", None: ""}[about.higher_is_better if about else None]
        columns[name] = st.column_config.NumberColumn(heading + arrow, format=f"%.{about.digits}f" if about else "%.4g")
    order = [name for name in order if any(line.get(name) is not None for line in lines)]
    st.dataframe(lines, hide_index=True, column_order=order, column_config=columns, height="content")


def _figures() -> None:
    figures = {path.stem: path for path in sorted((models.project() / "reports/figures").glob("*.png"))}
    if not figures:
        st.info("There are no figures yet. `dvc repro report` draws them.", icon=":material/info:")
        return
    first = next((name for name in figures if name.startswith("depth")), next(iter(figures)))
    chosen = st.pills("Figure", list(figures), default=first, format_func=_title, key="figure", required=True)
    with st.container(key="paper"):  # figures are drawn for white paper
        st.image(figures[chosen].read_bytes(), alt=_title(chosen))


def _title(stem: str) -> str:
    return stem.replace("-", " ").replace("_", " ")


def _training() -> None:
    trained = {kind: list(models.usable(kind)) for kind in observations.KINDS if models.usable(kind)}
    if not trained:
        st.info("Nothing is trained here yet. `make repro` trains all rows.", icon=":material/info:")
        return
    left, right = st.columns(2)
    kind = left.segmented_control(
        "Observation",
        list(trained),
        default=next(iter(trained)),
        format_func=str.capitalize,
        key="curves-kind",
        required=True,
    )
    curves = {row: measured.read_csv(_curves(row)) for row in trained[kind] if _curves(row).is_file()}
    curves = {row: lines for row, lines in curves.items() if lines}
    columns = list(dict.fromkeys(name for lines in curves.values() for name in lines[0] if name != "epoch"))
    if not columns:
        st.info("These rows left no curves.", icon=":material/info:")
        return
    best = next((name for name in columns if name.endswith("psnr")), columns[-1])
    column = right.selectbox("Curve", columns, index=columns.index(best), format_func=_title, key=f"curve-{kind}")
    lines = [
        {"row": row, "epoch": int(float(line["epoch"])), "value": float(line[column])}
        for row, found in curves.items()
        for line in found
        if line.get(column)
    ]
    import altair

    chart = altair.Chart(altair.Data(values=lines), height=420).mark_line(point=True)
    legend = altair.Legend(orient="bottom", columns=4, labelLimit=240)
    st.altair_chart(
        chart.encode(
            x=altair.X("epoch:Q", title="epoch", axis=altair.Axis(tickMinStep=1, grid=False)),
            y=altair.Y("value:Q", title=_title(column), scale=altair.Scale(zero=False)),
            color=altair.Color("row:N", title=None, sort=list(curves), legend=legend),
            tooltip=["row:N", "epoch:Q", altair.Tooltip("value:Q", format=".4g", title=_title(column))],
        )
    )


def _curves(row: str) -> Path:
    return models.project() / layout.model(row) / "curves.csv"


def _difference() -> None:
    commits = revisions.recent(models.project())
    revision = st.selectbox(
        "Revision to compare with",
        list(commits),
        index=min(1, len(commits) - 1),
        format_func=lambda short: f"{short}  {commits[short]}" if short in commits else short,
        accept_new_options=True,
        key="revision",
        help="A branch, a tag or a commit; type one that is not listed.",
    )
    if not revision:
        return
    before = revisions.revision(models.project(), revision)  # a folder of this machine is not for visitors to choose
    compared = differences.compare(before, revisions.side(models.project(), None))
    changes = [change for change in compared.changes if change.verdict != Verdict.UNCHANGED]
    if not changes:
        st.success(f"Every number is the same as at {widgets.verbatim(revision)}.", icon=":material/check:")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        [_changed(change) for change in changes],
        hide_index=True,
        height="content" if len(changes) < 20 else 640,
        column_config={
            "row": st.column_config.TextColumn("Row", pinned=True, width=270),
            "metric": "Metric",
            "before": number(revision, format="%.5g"),
            "now": number("Now", format="%.5g"),
            "change": number("Change", format="%+.4g"),
            "interval": INTERVAL,
            "verdict": "",
        },
    )
    st.caption(
        "Differences over the same test images, with intervals over groups of images. Better and worse are what "
        f"Benjamini-Hochberg leaves of {compared.tests} tests at {100 * differences.RATE:.0f} % false discoveries."
    )


def _changed(change: Change) -> dict[str, Any]:
    """The line of a metric that is not the same."""
    found = change.difference
    return {
        "row": "/".join(part for part in (change.kind, change.row, change.case) if part),
        "metric": change.metric,
        "before": change.before,
        "now": change.after,
        "change": found.mean if found else None,
        "interval": f"{found.low:+.4g} to {found.high:+.4g}" if found else None,
        "verdict": f"{MARKS.get(change.verdict, '')}{change.reason or change.verdict}",
    }
