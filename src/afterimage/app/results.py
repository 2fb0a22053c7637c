"""The page Results: the numbers, figures and curves of the current run, and what changed since another revision."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from afterimage import observations
from afterimage.app import models, revisions, widgets
from afterimage.core import layout
from afterimage.evaluation import results as measured
from afterimage.evaluation.results import METRICS, Metric

FIRST = ("psnr", "hole_psnr", "ssim", "hole_ssim", "mse", "lpips", "lpips_untrained")
ONLY = "test"
"""The case of a row that is measured in one."""


def show() -> None:
    now = revisions.numbers_now(models.project())
    if not now:
        st.info("Nothing is measured here yet. `make repro` runs the pipeline.", icon=":material/info:")
        return
    parts: dict[str, Callable[[], None]] = {
        "Numbers": lambda: _numbers(now),
        "Figures": _figures,
        "Training": _training,
        "Difference": lambda: _difference(now),
    }
    for tab, part in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            part()


class Place(NamedTuple):
    """What `features/vgg16-relu1_2/test` is the number of."""

    kind: str
    """Of observation."""
    row: str
    """A row of `reconstructors` or `searches`; of baselines, the row of `observations` that they are given."""
    case: str


def _place(name: str) -> Place | None:
    """None: metrics that no row of this version writes."""
    parts = name.split("/", 2)
    return Place(*parts) if len(parts) == 3 and parts[0] in observations.KINDS else None


def _numbers(now: revisions.Numbers) -> None:
    """A table a kind of observation, in the order of params.yaml."""
    places = {name: place for name in now if (place := _place(name)) is not None}
    for kind in observations.KINDS:
        of = _given(kind)
        order = {row: number for number, row in enumerate(of)}
        # A row that was removed from params.yaml may have left its numbers behind
        found = {name: place for name, place in places.items() if place.kind == kind and place.row in of}
        found = dict(sorted(found.items(), key=lambda item: order[item[1].row]))
        if found:
            st.subheader(kind.capitalize(), anchor=False)
            _table([_line(place, of[place.row], now[name]) for name, place in found.items()])
    st.caption(
        "Means over the test images, measured on the saved 8-bit pictures. The interval is that of the first metric, "
        "by bootstrap over groups of images. `reports/index.html` has the whole report."
    )


def _given(kind: str) -> dict[str, str]:
    """What each row of a kind of observation is given, then the rows of `observations`, which have baselines."""
    data = models.parameters()
    given = {name: str(data[section][name].get("observation")) for name, section in models.rows(kind).items()}
    return given | {name: name for name, row in (data.get("observations") or {}).items() if row.get("kind") == kind}


def _line(place: Place, observation: str, numbers: Mapping[str, float]) -> dict[str, Any]:
    path = models.project() / layout.measured(place.row) / place.case / "intervals.json"
    intervals = measured.read_json(path) if path.is_file() else {}
    first = next((name for name in FIRST if name in numbers), "")
    interval, digits = (intervals.get("metrics") or {}).get(first), _digits(first)
    return {
        "row": place.row if place.case == ONLY else f"{place.row}/{place.case}",
        "observation": observation,
        "95 %": f"{interval['low']:.{digits}f} to {interval['high']:.{digits}f}" if interval else None,
        "images": intervals.get("images"),
        **numbers,
    }


def _table(lines: list[dict[str, Any]]) -> None:
    names = dict.fromkeys(name for line in lines for name in line)
    metrics = [name for name in FIRST if name in names]
    others = [name for name in names if name not in (*metrics, "row", "observation", "95 %", "images")]
    order = ["row", "observation", *metrics[:1], "95 %", *metrics[1:], *others, "images"]
    columns: dict[str, Any] = {
        "row": st.column_config.TextColumn("Row", pinned=True),
        "observation": "Observation",
        "95 %": "95 %",
        "images": "Images",
    }
    for name in (*metrics, *others):
        about = _about(name)
        heading = METRICS[name].heading if name in METRICS else name.replace("_", " ")
        columns[name] = st.column_config.NumberColumn(
            f"{heading} {'↑' if about.higher_is_better else '↓'}" if about else heading,
            format=f"%.{about.digits}f" if about else "%.4g",
        )
    order = [name for name in order if any(line.get(name) is not None for line in lines)]
    st.dataframe(lines, hide_index=True, column_order=order, column_config=columns, height="content")


def _about(name: str) -> Metric | None:
    """How a metric is shown: a part of an image, as in `hole_psnr`, has the metric of the whole."""
    return METRICS.get(name) or next((about for whole, about in METRICS.items() if name.endswith(whole)), None)


def _digits(name: str) -> int:
    about = _about(name)
    return about.digits if about else 4


def _figures() -> None:
    figures = {path.stem: path for path in sorted((models.project() / "reports/figures").glob("*.png"))}
    if not figures:
        st.info("There are no figures yet. `dvc repro report` draws them.", icon=":material/info:")
        return
    first = next((name for name in figures if name.startswith("depth")), next(iter(figures)))
    chosen = st.pills("Figure", list(figures), default=first, format_func=_title, key="figure", required=True)
    with st.container(key="paper"):  # figures are drawn for white paper
        st.image(figures[chosen].read_bytes())


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


def _difference(now: revisions.Numbers) -> None:
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
    changes = revisions.changes(revisions.numbers_at(models.project(), revision), now)
    if not changes:
        st.success(f"Every number is the same as at {widgets.verbatim(revision)}.", icon=":material/check:")
        return
    lines = [
        {
            "row": change.row,
            "metric": change.metric,
            "before": change.before,
            "now": change.now,
            "change": change.change,
            "verdict": _verdict(change),
        }
        for change in changes
    ]
    number = st.column_config.NumberColumn
    st.dataframe(
        lines,
        hide_index=True,
        height="content" if len(lines) < 20 else 640,
        column_config={
            "row": st.column_config.TextColumn("Row", pinned=True),
            "metric": "Metric",
            "before": number(revision, format="%.5g"),
            "now": number("Now", format="%.5g"),
            "change": number("Change", format="%+.4g"),
            "verdict": "",
        },
    )


def _verdict(change: revisions.Change) -> str:
    if change.before is None:
        return "new"
    if change.now is None:
        return "gone"
    about = _about(change.metric)
    if about is None:
        return ""
    return "▲ better" if (change.now > change.before) == about.higher_is_better else "▼ worse"
