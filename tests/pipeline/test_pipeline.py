"""The pipeline from the command line, on a tiny project: what it builds, what it builds again, and how it stops."""

import csv
import io
import json
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import RESULTS, Project, load_yaml, ran, stale
from pictures import folder, png

from afterimage.evaluation.results import INVERSIONS

DATA = ("data", ".dvc/cache", ".dvc/tmp", ".afterimage")
"""What a clone does not have."""


# A whole run


def test_repro_builds_every_stage(project: Project):
    names = project.dvc("stage", "list", "--name-only").split()
    lock = load_yaml(project.root / "dvc.lock")["stages"]
    first = (project.root / ".git/first-run.log").read_text(encoding="utf-8")
    assert sorted(ran(first)) == sorted(lock) == sorted(names)
    for name, stage in lock.items():
        for out in stage["outs"]:
            assert (project.root / out["path"]).exists(), f"{name}: {out['path']}"
    assert len(project.records()) == len(names)
    assert [str(path) for path in project.root.rglob(".*.partial")] == []


def test_a_second_repro_has_nothing_to_do(project: Project):
    records = project.records()
    assert project.dvc("status").strip() == "Data and pipelines are up to date."
    said = project.dvc("repro")
    assert ran(said) == []
    assert "Data and pipelines are up to date." in said
    assert project.records() == records
    assert project.git("status", "--porcelain") == ""


def test_metrics_show_has_a_line_a_row(project: Project):
    lines = list(csv.reader(io.StringIO(table(project.dvc("metrics", "show", "--md")))))
    head, rows = lines[0], {line[0]: line[1:] for line in lines[1:]}
    assert {"images", "psnr", "ssim", "mse", "lpips_untrained"} <= set(head[1:])
    params = project.params()
    files = {f"metrics/decoders/{name}/summary.json" for name in params["decoders"]}
    for name in params["inversions"]:
        files |= {f"metrics/inversions/{name}/{method}/summary.json" for method in INVERSIONS}
    for name, row in params["baselines"].items():
        files |= {f"metrics/baselines/{name}/{method}/summary.json" for method in row["methods"]}
    assert files <= set(rows)
    for file, texts in rows.items():
        summary = json.loads((project.root / file).read_text(encoding="utf-8"))
        numbers = {name: float(text) for name, text in zip(head[1:], texts, strict=True) if text not in ("", "-")}
        assert numbers == pytest.approx(summary, abs=1e-5)


def table(markdown: str) -> str:
    """The cells of a Markdown table as CSV."""
    lines = [line for line in markdown.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return "\n".join(",".join(cell.strip() for cell in line.strip("|").split("|")) for line in lines)


# What a change makes stale


def test_an_edited_row_makes_its_own_branch_stale(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    copy.params(lambda params: params["decoders"]["small-layer1"]["training"].update(epochs=2))
    direct = {"train-decoder@small-layer1", "reconstruct-decoder@small-layer1"}
    assert stale(copy) - {"report"} == direct
    planned = set(ran(copy.dvc("repro", "--dry")))
    assert direct <= planned <= {*direct, "evaluate-decoder@small-layer1", "report"}


def test_edited_code_makes_the_stages_that_use_it_stale(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    with (copy.root / "src/afterimage/reconstructors/classical.py").open("a", encoding="utf-8") as stream:
        stream.write("# a change\n")
    assert stale(copy) - {"report"} == {"baseline@photos"}


def test_a_new_layer_leaves_the_decoders_of_the_others_alone(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    copy.params(lambda params: params["encoders"]["small"]["layers"].append("layer2"))
    said = copy.dvc("repro", "extract", "validate-features")
    assert ran(said) == ["extract@small", "validate-features@small"]
    assert (copy.root / "data/features/small/layer2/index.json").is_file()
    assert stale(copy) - {"report"} == set()


# The same bits


def test_a_build_from_nothing_that_was_killed_twice_ends_with_the_same_bits(project: Project, tmp_path: Path):
    """Twice the whole pipeline: once in peace, once killed with -9 while it trains, dvc with it and alone."""
    again = project.copy(tmp_path / "again", without=(*DATA, *RESULTS))
    assert again.results() == {}

    checkpoint = again.root / ".afterimage/training/decoders/small-relu/checkpoint.pt"
    with repro(again) as run:
        wait_for(checkpoint.is_file, run)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    interrupted(again, "small-relu")

    checkpoint = again.root / ".afterimage/training/decoders/small-layer1/checkpoint.pt"
    with repro(again) as run:
        wait_for(checkpoint.is_file, run)
        os.kill(stage_process(run.pid, "train_decoder.py"), signal.SIGKILL)
        assert run.wait() != 0
    interrupted(again, "small-layer1")
    assert (again.root / "data/models/decoders/small-relu/model.safetensors").is_file()

    said = again.dvc("repro")
    assert ran(said)[0] == "train-decoder@small-layer1"
    assert again.dvc("status").strip() == "Data and pipelines are up to date."
    first, second = project.results(), again.results()
    assert sorted(second) == sorted(first)
    assert [name for name in first if first[name] != second[name]] == []
    assert [str(path) for path in again.root.rglob(".*.partial")] == []


def repro(project: Project) -> "subprocess.Popen[bytes]":
    """`dvc repro` in a process group of its own, so that one signal ends all of it."""
    return subprocess.Popen(
        ["dvc", "repro"],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(there: Callable[[], bool], run: "subprocess.Popen[bytes]", seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert run.poll() is None, f"dvc repro ended with {run.returncode} before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)


def stage_process(parent: int, script: str) -> int:
    import psutil

    found = [
        process.pid
        for process in psutil.Process(parent).children(recursive=True)
        if any(word.endswith(script) for word in process.cmdline()) and "python" in process.name()
    ]
    assert len(found) == 1
    return found[0]


def interrupted(project: Project, row: str) -> None:
    """Training was under way: it had a checkpoint and no model."""
    assert (project.root / f".afterimage/training/decoders/{row}/checkpoint.pt").is_file()
    assert not (project.root / f"data/models/decoders/{row}").exists()
    assert f"train-decoder@{row}" not in load_yaml(project.root / "dvc.lock")["stages"]


# Bad input. Each case is a copy of the project, a change, and a command; two run at once, since most of their time
# goes by in imports.


@dataclass
class Case:
    """A fault and the line that a user should get."""

    change: Callable[[Project], Any]
    words: tuple[str, ...]
    """A stage's script and its words, or `dvc` and its."""
    line: str
    """A pattern for the line."""
    alone: bool = True
    """The line is all of standard error; else progress was shown before."""
    absent: tuple[str, ...] = ()
    """What must not be there afterwards."""
    limit: int | None = None
    """Bytes that a file may have: a full disk as far as a process can see."""
    without: tuple[str, ...] = field(default=(".git", ".dvc", ".afterimage"))


def params(change: Callable[[dict[str, Any]], Any]) -> Callable[[Project], Any]:
    return lambda project: project.params(change)


def nothing(project: Project) -> None:
    pass


def removed(*names: str) -> Callable[[Project], Any]:
    """Remove outputs as DVC does before a stage runs."""

    def remove(project: Project) -> None:
        for name in names:
            project.run("rm", "-r", name)

    return remove


def write_params(text: str) -> Callable[[Project], Any]:
    return lambda project: (project.root / "params.yaml").write_text(text, encoding="utf-8")


def broken_shard(project: Project) -> None:
    path = project.root / "data/shards/photos/test-000000.tar"
    data = path.read_bytes()
    path.unlink()  # a link into the cache
    path.write_bytes(data[: len(data) // 2])


def missing_shard(project: Project) -> None:
    (project.root / "data/shards/photos/test-000000.tar").unlink()


def pictures(files: dict[str, bytes]) -> Callable[[Project], Any]:
    """The data set becomes a folder with official splits; all that comes after it would have to run again."""

    def change(project: Project) -> None:
        plain = {f"{split}/{split}{n}/a.png": png(40, 40, 10 * n + m) for m, split in enumerate(SPLITS) for n in (1, 2)}
        folder(project.root / "pictures", {**plain, **files})
        row = {"source": "folder", "path": "pictures", "size": 32, "group": "parent", "max_rejected": 0.0}
        project.params(lambda params: params["datasets"].update(photos=row))

    return change


SPLITS = ("train", "val", "test")
NO_MODEL = removed("data/models/decoders/small-relu")
CASES = {
    "unknown row": Case(
        nothing, ("fetch", "faces"), r"fetch@faces: params\.yaml: `datasets` has no row `faces`; it has photos"
    ),
    "wrong type": Case(
        params(lambda data: data["datasets"]["photos"].update(size="big")),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml: `datasets\.photos\.size`: 'big': input should be a valid integer",
    ),
    "out of range": Case(
        params(lambda data: data["datasets"]["photos"]["split"].update(test=1.5)),
        ("shard", "photos"),
        r"shard@photos: params\.yaml: `datasets\.photos\.split\.test`: 1\.5: input should be less than 1",
    ),
    "unknown key": Case(
        params(lambda data: data["datasets"]["photos"].update(colour="grey")),
        ("shard", "photos"),
        r"shard@photos: params\.yaml: `datasets\.photos\.colour`: unknown key; the keys are source, path, size.*",
    ),
    "missing key": Case(
        params(lambda data: data["datasets"]["photos"].pop("size")),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml: `datasets\.photos\.size`: this key is missing",
    ),
    "missing section": Case(
        params(lambda data: data.pop("datasets")),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml: section `datasets` is missing; there are encoders.*",
    ),
    "no yaml": Case(
        write_params("datasets: [photos\n"),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml, line \d: not valid YAML.*",
    ),
    "wrong type of training": Case(
        params(lambda data: data["decoders"]["small-relu"]["training"].update(epochs="many")),
        ("train_decoder", "small-relu"),
        r"train_decoder@small-relu: params\.yaml: `decoders\.small-relu\.training\.epochs`: 'many': .*integer.*",
    ),
    "layer that the network does not have": Case(
        params(lambda data: data["encoders"]["small"]["layers"].append("layer9")),
        ("extract", "small"),
        r"extract@small: .*layer9.*layer1, .*layer4.*",
        absent=("data/features/.small.partial",),
    ),
    "layer that was not extracted": Case(
        params(lambda data: data["decoders"]["small-relu"].update(layers=["layer4"], features="small/layer4")),
        ("train_decoder", "small-relu"),
        r"train_decoder@small-relu: .*data/features/small/layer4.*",
    ),
    "network that there is not": Case(
        params(lambda data: data["encoders"]["small"].update(arch="resnet9000")),
        ("weights", "small"),
        r"weights@small: .*resnet9000.*",
    ),
    "device that there is not": Case(
        params(lambda data: data["decoders"]["small-relu"]["training"].update(device="mps")),
        ("train_decoder", "small-relu"),
        r"train_decoder@small-relu: device `mps` is not available here; there is .*cpu",
    ),
    "full disk while fetching": Case(
        removed("data/raw/photos"),
        ("fetch", "photos"),
        r"fetch@photos: File too large.*",
        alone=False,
        absent=("data/raw/photos", "data/raw/.photos.partial"),
        limit=100_000,
    ),
    "full disk while sharding": Case(
        removed("data/shards/photos"),
        ("shard", "photos"),
        r"shard@photos: File too large.*",
        alone=False,
        absent=("data/shards/photos", "data/shards/.photos.partial"),
        limit=10_000,
    ),
    "full disk while writing weights": Case(
        removed("data/weights/small.safetensors"),
        ("weights", "small"),
        r"weights@small: .*[Ff]ile too large.*",
        alone=False,
        absent=("data/weights/small.safetensors", "data/weights/.small.safetensors.partial"),
        limit=1_000_000,
    ),
    "full disk while extracting": Case(
        removed("data/features/small"),
        ("extract", "small"),
        r"extract@small: File too large.*",
        alone=False,
        absent=("data/features/small", "data/features/.small.partial"),
        limit=20_000,
    ),
    "full disk while training": Case(
        NO_MODEL,
        ("train_decoder", "small-relu"),
        r"train_decoder@small-relu: .*[Ff]ile too large.*",
        alone=False,
        absent=("data/models/decoders/small-relu", "data/models/decoders/.small-relu.partial"),
        limit=20_000,
    ),
    "broken shard": Case(
        broken_shard,
        ("validate", "photos"),
        r'validate@photos: .*"every shard is there and has the bytes .*": shard data/shards/photos/test-000000\.tar.*',
        alone=False,
        absent=("reports/validation/photos.json",),
    ),
    "missing shard": Case(
        missing_shard,
        ("validate", "photos"),
        r"validate@photos: .*test-000000\.tar.*",
        alone=False,
        absent=("reports/validation/photos.json",),
    ),
    "leaked group": Case(
        pictures({"train/ada/1.png": png(40, 40, 50), "test/ada/2.png": png(40, 40, 51)}),
        ("dvc", "repro"),
        r"validate@photos: .*\bada\b.*",
        alone=False,
        absent=("reports/validation/photos.json",),
        without=(),
    ),
    "duplicate across splits": Case(
        pictures({"train/eve/1.png": png(40, 40, 60), "val/zoe/copy.png": png(40, 40, 60)}),
        ("dvc", "repro"),
        r"validate@photos: .*(train--eve--1.*val--zoe--copy|val--zoe--copy.*train--eve--1).*",
        alone=False,
        absent=("reports/validation/photos.json",),
        without=(),
    ),
}


@dataclass
class Outcome:
    project: Project
    status: int
    said: str
    records: dict[str, int]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, "Future[Outcome]"]]:
    """What came of each case that is among the tests of this session."""
    chosen = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}

    def run(name: str) -> Outcome:
        case = CASES[name]
        copy = project.copy(tmp_path_factory.mktemp("case") / "copy", without=case.without)
        case.change(copy)
        before = copy.records()
        words = case.words if case.words[0] == "dvc" else ("python", f"stages/{case.words[0]}.py", *case.words[1:])
        done = subprocess.run(
            words,
            cwd=copy.root,
            env=copy.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            preexec_fn=limited(case.limit) if case.limit else None,
        )
        after = copy.records()
        return Outcome(copy, done.returncode, done.stderr, {name: after[name] for name in after.keys() - before.keys()})

    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run, name) for name in CASES if name in chosen}


def limited(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_one_line_and_leaves_nothing_half_written(name: str, outcomes: dict[str, "Future[Outcome]"]):
    case, outcome = CASES[name], outcomes[name].result()
    assert outcome.status != 0
    assert "Traceback" not in outcome.said
    lines = [part for line in outcome.said.splitlines() for part in line.split("\r") if part.strip()]
    assert sum(bool(re.fullmatch(case.line, line)) for line in lines) == 1, outcome.said
    if case.words[0] != "dvc":
        assert outcome.status == 1
    if case.alone:
        assert len(lines) == 1
    for path in case.absent:
        assert not (outcome.project.root / path).exists(), path
    assert f"{'@'.join(case.words)}" not in outcome.records


@pytest.mark.parametrize("name", ["leaked group", "duplicate across splits"])
def test_a_closed_gate_stops_the_pipeline(name: str, outcomes: dict[str, "Future[Outcome]"], project: Project):
    outcome = outcomes[name].result()
    now, before = outcome.project.records(), project.records()
    assert {stage for stage in now if now[stage] != before[stage]} == {"fetch@photos", "shard@photos"}
    assert "failed to reproduce 'validate@photos'" in outcome.said
