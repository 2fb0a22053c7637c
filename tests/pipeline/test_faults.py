"""Bad input: each case is a copy of the project, a change, and a command that ends with one line.

Two cases run at once, since most of their time goes by in imports.
"""

import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import Project
from pictures import folder, png


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


def row(name: str, **values: Any) -> Callable[[Project], Any]:
    """Other values in a row of the reconstructors."""
    return params(lambda data: data["reconstructors"][name].update(values))


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
TRAIN = ("train", "small-relu")
CASES = {
    "unknown row": Case(
        nothing, ("fetch", "faces"), r"fetch@faces: params\.yaml: `datasets` has no row `faces`; it has photos"
    ),
    "unknown reconstructor": Case(
        nothing, ("train", "vae"), r"train@vae: params\.yaml: there is no reconstructor `vae`; there are small-relu, .*"
    ),
    "wrong type": Case(
        params(lambda data: data["datasets"]["photos"].update(size="big")),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml: `datasets\.photos\.size`: 'big': input should be a valid integer",
    ),
    "out of range": Case(
        params(lambda data: data["datasets"]["photos"].update(split={"test": 1.5})),
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
    "parameters of an earlier version": Case(
        params(lambda data: data.update(decoders={}, holes={})),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml: rows of `decoders` are now rows of `reconstructors` with `kind: .*",
    ),
    "one name for two rows": Case(
        params(lambda data: data["observations"].update({"pix2pix": data["observations"]["two-boxes"]})),
        ("fetch", "photos"),
        r"fetch@photos: params\.yaml: `reconstructors` has a row `pix2pix`, and so has `observations`: .*",
    ),
    "wrong type of training": Case(
        row("small-relu", training={"epochs": "many"}),
        TRAIN,
        r"train@small-relu: params\.yaml: `reconstructors\.small-relu\.training\.epochs`: 'many': .*integer.*",
    ),
    "wrong type in what rows share": Case(
        params(lambda data: data["shared"]["decoder"]["training"].update(epochs="many")),
        TRAIN,
        r"train@small-relu: params\.yaml: `shared\.decoder\.training\.epochs`: 'many': .*integer.*",
    ),
    "wrong type in what all training shares": Case(
        params(lambda data: data["training"].update(weight_decay="much")),
        TRAIN,
        r"train@small-relu: params\.yaml: `training\.weight_decay`: 'much': .*number.*",
    ),
    "kind of reconstructor that there is not": Case(
        row("small-relu", kind="vae"),
        TRAIN,
        r"train@small-relu: params\.yaml: `reconstructors\.small-relu\.kind`: .*`vae`; there are autoencoder, .*",
    ),
    "kind of observation that does not fit": Case(
        row("small-relu", observes="holes"),
        TRAIN,
        r"train@small-relu: params\.yaml: `reconstructors\.small-relu\.observes`: 'holes', but `decoder` observes .*",
    ),
    "baseline that there is not": Case(
        params(lambda data: data["baselines"]["holes"].append("magic")),
        ("baseline", "two-boxes"),
        r"baseline@two-boxes: params\.yaml: `baselines\.holes`: no baseline 'magic'; there are black, .*",
    ),
    "layer that the network does not have": Case(
        params(lambda data: data["observations"]["small"]["layers"].append("layer9")),
        ("observe", "small"),
        r"observe@small: .*layer9.*layer1, .*layer4.*",
        absent=("data/observations/.small.partial",),
    ),
    "layer that was not kept": Case(
        row("small-relu", observation="small/layer4"),
        TRAIN,
        r"train@small-relu: .*data/observations/small/layer4.*",
    ),
    "network that there is not": Case(
        params(lambda data: data["encoders"]["small"].update(arch="resnet9000")),
        ("weights", "small"),
        r"weights@small: .*resnet9000.*",
    ),
    "device that there is not": Case(
        row("small-relu", training={"device": "mps"}),
        TRAIN,
        r"train@small-relu: device `mps` is not available here; there is .*cpu",
    ),
    "no trained model": Case(
        removed("data/models/pix2pix"),
        ("evaluate", "pix2pix"),
        r"evaluate@pix2pix: .*pix2pix.*no trained model.*`dvc repro`.*",
    ),
    "search without its decoder": Case(
        removed("data/models/small-relu"),
        ("evaluate", "small-relu-search"),
        r"evaluate@small-relu-search: .*small-relu.*no trained model.*",
    ),
    "full disk while fetching": Case(
        removed("data/raw/photos"),
        ("fetch", "photos"),
        r"fetch@photos: .*File too large.*",
        alone=False,
        absent=("data/raw/photos", "data/raw/.photos.partial"),
        limit=100_000,
    ),
    "full disk while sharding": Case(
        removed("data/shards/photos"),
        ("shard", "photos"),
        r"shard@photos: .*File too large.*",
        alone=False,
        absent=("data/shards/photos", "data/shards/.photos.partial"),
        limit=10_000,
    ),
    "full disk while writing weights": Case(
        removed("data/weights/small.safetensors"),
        ("weights", "small"),
        r"weights@small: .*File too large.*",
        alone=False,
        absent=("data/weights/small.safetensors", "data/weights/.small.safetensors.partial"),
        limit=1_000_000,
    ),
    "full disk while observing": Case(
        removed("data/observations/small"),
        ("observe", "small"),
        r"observe@small: .*File too large.*",
        alone=False,
        absent=("data/observations/small", "data/observations/.small.partial"),
        limit=20_000,
    ),
    "full disk while training": Case(
        removed("data/models/small-relu"),
        TRAIN,
        r"train@small-relu: .*File too large.*",
        alone=False,
        absent=("data/models/small-relu", "data/models/.small-relu.partial"),
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
    assert outcome.status == 1 if case.words[0] != "dvc" else outcome.status > 0, (outcome.status, outcome.said)
    assert "Traceback" not in outcome.said
    lines = [part for line in outcome.said.splitlines() for part in line.split("\r") if part.strip()]
    assert sum(bool(re.fullmatch(case.line, line)) for line in lines) == 1, outcome.said
    if case.alone:
        assert len(lines) == 1
    for path in case.absent:
        assert not (outcome.project.root / path).exists(), path
    assert "@".join(case.words) not in outcome.records


@pytest.mark.parametrize("name", ["leaked group", "duplicate across splits"])
def test_a_closed_gate_stops_the_pipeline(name: str, outcomes: dict[str, "Future[Outcome]"], project: Project):
    outcome = outcomes[name].result()
    now, before = outcome.project.records(), project.records()
    assert {stage for stage in now if now[stage] != before[stage]} == {"fetch@photos", "shard@photos"}
    assert "failed to reproduce 'validate@photos'" in outcome.said
