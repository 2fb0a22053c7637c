"""The page Results: the numbers, figures and curves of the current run, and what changed since another revision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from afterimage import layout
from afterimage import results as measured
from afterimage.app import models, revisions, widgets
from afterimage.results import METRICS, Metric

FIRST = ("psnr", "hole_psnr", "ssim", "hole_ssim", "mse", "lpips", "lpips_untrained")


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


def _numbers(now: revisions.Numbers) -> None:
    """A table a family: learned rows and baselines of other observations are not to be compared."""
    families = dict.fromkeys([*models.FAMILIES, *(row.partition("/")[0] for row in now)])
    for family in families:
        known = list(models.rows(family))
        found = {row.partition("/")[2]: row for row in now if row.startswith(f"{family}/")}
        if known:  # a row that was removed from params.yaml may have left its numbers behind
            found = {name: row for name, row in found.items() if name.partition("/")[0] in known}
            found = dict(sorted(found.items(), key=lambda item: known.index(item[0].partition("/")[0])))
        if found:
            st.subheader(family.replace("-", " of ").capitalize(), anchor=False)
            _table([{"row": name, "95 %": _interval(row), **now[row]} for name, row in found.items()])
    st.caption(
        "Means over the test images, measured on the saved 8-bit pictures; `reports/index.html` has the whole report. "
        "An interval is that of PSNR, by bootstrap over groups of images."
    )


def _table(lines: list[dict[str, Any]]) -> None:
    names = dict.fromkeys(name for line in lines for name in line)
    metrics = [name for name in FIRST if name in names]
    others = [name for name in names if name not in (*metrics, "row", "95 %", "images")]
    order = ["row", *metrics[:1], "95 %", *metrics[1:], *others, "images"]
    columns: dict[str, Any] = {
        "row": st.column_config.TextColumn("Row", pinned=True),
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
    if all(line["95 %"] is None for line in lines):
        order.remove("95 %")
    st.dataframe(lines, hide_index=True, column_order=order, column_config=columns, height="content")


def _about(name: str) -> Metric | None:
    """How a metric is shown: a part of an image, as in `hole_psnr`, has the metric of the whole."""
    return METRICS.get(name) or next((about for whole, about in METRICS.items() if name.endswith(whole)), None)


def _interval(row: str) -> str | None:
    path = models.project() / "metrics" / row / "intervals.json"
    if not path.is_file():
        return None
    psnr = measured.read_json(path).get("psnr")
    return f"{psnr['low']:.1f} to {psnr['high']:.1f}" if psnr else None


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
    families = [family for family in models.FAMILIES if models.trained(family)]
    if not families:
        st.info("Nothing is trained here yet. `make repro` trains all rows.", icon=":material/info:")
        return
    left, right = st.columns(2)
    family = left.segmented_control(
        "Family", families, default=families[0], format_func=str.capitalize, key="curves-family", required=True
    )
    curves = {
        row: measured.read_csv(_curves(family, row)) for row in models.trained(family) if _curves(family, row).is_file()
    }
    columns = list(dict.fromkeys(name for lines in curves.values() for name in lines[0] if name != "epoch"))
    if not columns:
        st.info("These rows left no curves.", icon=":material/info:")
        return
    best = next((name for name in columns if name.endswith("psnr")), columns[-1])
    column = right.selectbox("Curve", columns, index=columns.index(best), format_func=_title, key=f"curve-{family}")
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


def _curves(family: str, row: str) -> Path:
    return models.project() / layout.model(family, row) / "curves.csv"


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
