"""dvc.yaml and params.yaml by themselves: what stages say, what they track, and how long the files are."""

import copy
from pathlib import Path

import pytest
from conftest import ROOT
from dvc.utils.serialize import modify_yaml
from pipelines import found, load, outs, paths, resolved, templates, wrong_paths
from ruamel.yaml import YAML
from ruamel.yaml.events import AliasEvent

from afterimage.core import layout, params
from afterimage.core.errors import ParamsError
from afterimage.evaluation import evaluating

ROWS = ("datasets", "encoders", "observations", "reconstructors", "searches")
"""Sections with a row for each branch of the pipeline."""
TOLD = {"evaluate", "baseline"}
"""Stages that are told by an earlier one how its row was: by the card of a model, by the index of observations."""


def test_every_stage_says_what_it_does():
    pipeline, _ = load()
    silent = [name for name, stage in templates(pipeline).items() if not str(stage.get("desc", "")).strip()]
    assert silent == []


def test_every_command_runs_a_script_that_is_there():
    for name, stage in resolved(*load()):
        words = stage["cmd"].split()
        assert words[0] == "python", name
        assert (ROOT / words[1]).is_file(), f"{name}: there is no {words[1]}"


def test_every_script_is_a_stage_and_runs_by_one_rule():
    pipeline, _ = load()
    used = {stage["cmd"].split()[1] for stage in templates(pipeline).values()}
    scripts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").glob("*.py")}
    assert scripts == used
    for script in scripts:
        text = (ROOT / script).read_text(encoding="utf-8")
        assert text.endswith('if __name__ == "__main__":\n    stage.run(main)\n'), script


# Parameters


def test_every_parameter_that_dvc_yaml_names_is_there():
    pipeline, values = load()
    for name, stage in resolved(pipeline, values):  # raises KeyError with the name of what is missing
        for entry in stage.get("params", []):
            assert isinstance(entry, str), f"{name}: {entry} is of another file than params.yaml"
            found(entry, values)


def test_a_row_is_tracked_with_what_it_shares_and_never_its_whole_section():
    pipeline, values = load()
    stages = dict(resolved(pipeline, values))
    assert "params.yaml" in stages.pop("report")["deps"]
    for name, stage in stages.items():
        kind, _, key = name.partition("@")
        tracked = stage.get("params", [])
        assert not {*ROWS, params.SHARED, "baselines"} & set(tracked), name
        if kind in TOLD:
            continue
        section = pipeline["stages"][kind]["foreach"].strip("${}")
        own = values[section][key]
        group = params.group_of(own)
        shared = [f"{params.SHARED}.{group}"] if group else []
        trained = [params.TRAINING] if kind == "train" else []
        assert [entry for entry in tracked if entry not in ("metrics", "compute")] == [
            f"{section}.{key}",
            *shared,
            *trained,
        ], name


def test_every_group_of_rows_has_its_shared_values():
    """DVC stops at `shared.<kind>` that is not there."""
    _, values = load()
    groups = {params.group_of(row) for section in ROWS for row in values[section].values()} - {None}
    assert groups <= set(values[params.SHARED])


def test_rows_of_params_share_nothing_by_anchors():
    """`dvc exp run -S reconstructors.<row>.training.epochs=20` on a YAML alias changes no row, or all of them."""
    events = YAML(typ="safe", pure=True).parse((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert [event.anchor for event in events if isinstance(event, AliasEvent)] == []


def test_params_are_in_the_form_that_dvc_writes(tmp_path: Path):
    """An edit by DVC's tools, such as `dvc exp run -S`, then shows as one line."""
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    with modify_yaml(path) as values:
        values["metrics"]["bootstrap"] = 12345
    old, new = ((ROOT / "params.yaml").read_text(encoding="utf-8"), path.read_text(encoding="utf-8"))
    assert new == old.replace(f"bootstrap: {load()[1]['metrics']['bootstrap']}", "bootstrap: 12345")


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"observations": ["a", "b"], "reconstructors": ["c", "b"], "searches": ["d"]},
            r"`reconstructors` has a row `b`, and so has `observations`: .* need names of their own",
        ),
        (
            {"observations": ["a"], "reconstructors": ["c"], "searches": ["c"]},
            r"`searches` has a row `c`, and so has `reconstructors`: .* need names of their own",
        ),
    ],
)
def test_rows_with_folders_of_one_kind_need_names_of_their_own(
    tmp_path: Path, sections: dict[str, list[str]], line: str
):
    path = tmp_path / "params.yaml"
    text = "".join(
        f"{section}:\n" + "".join(f"  {name}: {{}}\n" for name in names) for section, names in sections.items()
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=line):
        params.load(path)


def test_no_two_stages_write_one_path():
    written: dict[str, str] = {}
    for name, stage in resolved(*load()):
        for path in outs(stage):
            assert written.setdefault(path, name) == name, path


# Paths


def test_every_path_is_where_the_code_looks():
    assert wrong_paths(*load()) == []


def test_a_wrong_path_would_be_seen():
    pipeline, values = load()
    pipeline = copy.deepcopy(pipeline)
    stage = templates(pipeline)["observe"]
    stage["outs"] = ["data/observation/${key}"]
    stage["deps"] += ["data/shards/nothing", "src/afterimage/nowhere"]
    wrong = wrong_paths(pipeline, values)
    row = next(iter(values["observations"]))
    assert f"observe@{row}: `data/observation/{row}` is no place of afterimage.core.layout" in wrong
    assert f"observe@{row}: no stage makes `data/shards/nothing`" in wrong
    assert f"observe@{row}: there is no `src/afterimage/nowhere`" in wrong
    assert any(line.startswith("train@") for line in wrong)


def test_gates_metrics_and_reports_are_in_git():
    """A pull request shows them, and `dvc metrics diff` compares them with another commit's."""
    pipeline, _ = load()
    for name, stage in templates(pipeline).items():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                path = entry if isinstance(entry, str) else next(iter(entry))
                options = {} if isinstance(entry, str) else entry[path]
                assert (options.get("cache", True) is False) == path.startswith(("metrics/", "reports/")), (name, path)


def test_whatever_is_measured_is_declared_to_dvc_as_metrics():
    pipeline, values = load()
    declared = [path for _, stage in resolved(pipeline, values) for path in paths(stage.get("metrics", []))]
    rows = {name: row["kind"] for name, row in values["observations"].items()}
    rows |= {name: row["observes"] for section in ROWS[3:] for name, row in values[section].items()}
    assert sorted(declared) == sorted(layout.metrics(kind, name).as_posix() for name, kind in rows.items())
    measured = {path for _, stage in resolved(pipeline, values) for path in outs(stage)}
    assert {layout.measured(name).as_posix() for name in rows} <= measured
    assert set(rows.values()) == set(values["baselines"])


def test_a_row_of_one_kind_of_observation_names_an_observation_of_that_kind():
    _, values = load()
    for section in ROWS[3:]:
        for name, row in values[section].items():
            observation = values["observations"][row["observation"].partition("/")[0]]
            assert (row["observes"], row["dataset"]) == (observation["kind"], observation["dataset"]), name


def test_metrics_of_a_kind_fit_into_120_columns():
    """`dvc metrics show metrics/<kind>`: a path, two spaces, then the columns with four between them."""
    _, values = load()
    for kind, methods in values["baselines"].items():
        levels = [f"{level}/" for row in values["observations"].values() for level in row.get("levels", [])]
        cases = [f"{level}{method}" for level in (levels if kind == "frames" else [""]) for method in methods]
        named = {name: cases for name, row in values["observations"].items() if row["kind"] == kind}
        own = [level.removesuffix("/") for level in levels] if kind == "frames" else ["test"]
        for section, cases in (("reconstructors", own), ("searches", ["optimisation"])):
            named |= {name: cases for name, row in values[section].items() if row["observes"] == kind}
        longest = max(len(f"metrics/{kind}/{name}/{case}.json") for name, cases in named.items() for case in cases)
        columns = (*evaluating.kind(kind).HEADLINE, "lpips_untrained")
        widths = [max(len(name), len("32.6999")) for name in columns]
        assert longest + 2 + sum(widths) + 4 * (len(widths) - 1) <= 120, kind


# Length


def test_the_files_that_a_person_reads_are_short():
    pipeline, _ = load()
    assert len(pipeline["stages"]) <= 12
    for name in ("dvc.yaml", "params.yaml"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 250, name
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_the_lock_stays_small():
    """DVC writes all of dvc.lock anew for each stage, which takes a second for every 200 KB."""
    assert (ROOT / "dvc.lock").stat().st_size <= 140_000
