"""docs/sharing.md, command for command: what stands there is what runs here."""

import json
import re
from pathlib import Path

import pytest
import remotes
from conftest import ROOT, Project, load_yaml, ran, stale

DOCUMENT = ROOT / "docs/sharing.md"
RECIPES = {
    "One remote for all machines": 3,
    "A remote by SSH": 2,
    "A remote on S3": 2,
    "One cache for all people on a machine": 2,
    "Merging two branches": 1,
    "Independent stages in parallel": 1,
    "Experiments": 2,
}
"""The sections with commands, and how many blocks each has: a block is what one person does in one go."""


def sections() -> dict[str, list[list[str]]]:
    """The commands of the document: by section, a list of blocks, each a list of lines."""
    found: dict[str, list[list[str]]] = {}
    for section in re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        if blocks:
            found[title] = [block.strip().splitlines() for block in blocks]
    return found


def follow(project: Project, commands: list[str], **words: str) -> dict[str, str]:
    """Run a block's commands in one shell, with `words` for names of the document, and stop at the first that fails.

    Returns:
        What each command said, on both streams.
    """
    names = {"vgg16-relu3_3": "small-layer1", "@vgg16": "@small", "epochs=20": "epochs=2", **words}
    lines = ["set -e -o pipefail"]
    for number, command in enumerate(commands):
        for name, stand_in in names.items():
            command = command.replace(name, stand_in)
        lines += [f"echo '<<{number}>>'", command]
    done = project.run("bash", "-c", "exec 2>&1\n" + "\n".join(lines))
    parts = re.split(r"^<<\d+>>\n", done.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(commands, parts, strict=True))


@pytest.fixture
def team(project: Project, tmp_path: Path) -> Project:
    """A copy of the project with an `origin` to push to, as the first machine of a team has it."""
    first = project.copy(tmp_path / "first")
    first.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    first.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    first.git("push", "--quiet", "--set-upstream", "origin", "main")
    return first


def test_every_recipe_is_run_by_a_test():
    assert {title: len(blocks) for title, blocks in sections().items()} == RECIPES


def test_a_remote_spares_other_machines_every_run(team: Project, tmp_path: Path):
    first, second, third = sections()["One remote for all machines"]
    addresses = {
        "/srv/afterimage/remote": str(tmp_path / "remote"),
        "https://example.com/team/afterimage.git": f"{tmp_path / 'origin.git'} afterimage",
        "cd afterimage": "cd afterimage && export PYTHONPATH=$PWD/src",
    }
    follow(team, first, **addresses)

    machine = Project(tmp_path / "second", team.home)
    machine.root.mkdir()
    said = follow(machine, second, **addresses)["dvc repro --pull"]
    clone = Project(machine.root / "afterimage", team.home)
    assert ran(said) == []
    assert "Data and pipelines are up to date." in said
    assert clone.records() == {}
    assert not (clone.root / ".afterimage").exists()
    assert clone.git("status", "--porcelain") == ""
    assert clone.results() == team.results()
    assert (clone.root / "data/models/small-relu/model.safetensors").is_file()

    # The same without dvc.lock: what is in the cache is fetched; stages with results in Git run, and give the same
    other = team.clone(tmp_path / "other", tmp_path / "origin.git")
    other.run("rm", "dvc.lock")
    said = follow(other, third)["dvc repro --pull train@vgg16-relu3_3"]
    assert set(ran(said)) == set(other.records()) == {"validate@photos"}
    assert set(re.findall(r"^Stage '(.+)' is cached - skipping run", said, re.MULTILINE)) == {
        "fetch@photos",
        "shard@photos",
        "weights@small",
        "observe@small",
        "train@small-layer1",
    }
    assert other.git("status", "--porcelain", "--", "metrics", "reports") == ""
    known, now = (load_yaml(project.root / "dvc.lock")["stages"] for project in (team, other))
    assert now == {name: known[name] for name in now}


@pytest.mark.parametrize("kind", ["SSH", "S3"])
def test_a_server_spares_other_machines_every_run(team: Project, tmp_path: Path, kind: str):
    home = tmp_path / "user"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text("[default]\naws_access_key_id = me\naws_secret_access_key = secret\n")
    first, second = sections()["A remote by SSH" if kind == "SSH" else "A remote on S3"]
    with remotes.ssh(tmp_path / "server", home / ".ssh") as server, remotes.s3("afterimage") as address:
        addresses = {
            "storage.example.com": f"127.0.0.1:{server.port}",
            "https://s3.example.com": address,
            "https://example.com/team/afterimage.git": f"{tmp_path / 'origin.git'} afterimage",
            "cd afterimage": "cd afterimage && export PYTHONPATH=$PWD/src",
        }
        follow(team, [f"export HOME={home}", *first], **addresses)
        machine = Project(tmp_path / "second", team.home)
        machine.root.mkdir()
        said = follow(machine, [f"export HOME={home}", *second], **addresses)["dvc repro --pull"]
    clone = Project(machine.root / "afterimage", team.home)
    assert ran(said) == []
    assert "Data and pipelines are up to date." in said
    assert clone.records() == {}
    assert clone.git("status", "--porcelain") == ""
    assert clone.results() == team.results()
    assert (clone.root / "data/models/small-relu/model.safetensors").is_file()
    assert bool(list((tmp_path / "server").rglob("runs/*/*/*"))) == (kind == "SSH")


def test_a_cache_is_shared_by_the_clones_of_a_machine(team: Project, tmp_path: Path):
    first, other = sections()["One cache for all people on a machine"]
    cache = tmp_path / "cache"
    follow(team, first, **{"/srv/afterimage/cache": str(cache)})
    assert team.dvc("status").strip() == "Data and pipelines are up to date."
    assert not list((team.root / ".dvc/cache/files").rglob("*"))
    assert team.git("status", "--porcelain") == ""

    clone = team.clone(tmp_path / "clone", tmp_path / "origin.git")
    follow(clone, other, **{"/srv/afterimage/cache": str(cache)})
    said = clone.dvc("repro")
    assert ran(said) == []
    assert "Data and pipelines are up to date." in said
    tar = "data/shards/photos/test-000000.tar"
    assert (clone.root / tar).samefile(team.root / tar) or (clone.root / tar).stat().st_nlink == 1  # linked or cloned
    assert (cache / "files/md5").is_dir()
    assert not list((clone.root / ".dvc/cache/files").rglob("*"))

    # What one clone runs the other gets
    for project in (team, clone):
        project.params(lambda params: params["datasets"]["photos"].update(shard_samples=2))
    assert ran(team.dvc("repro", "shard@photos")) == ["fetch@photos", "shard@photos"]
    said = clone.dvc("repro", "shard@photos")
    assert ran(said) == []
    assert said.count("is cached - skipping run, checking out outputs") == 2
    assert (clone.root / "data/shards/photos/test-000001.tar").is_file()


def test_two_branches_are_merged(project: Project, tmp_path: Path):
    ours = project.copy(tmp_path / "ours")
    ours.git("checkout", "--quiet", "-b", "faces")
    ours.params(lambda params: params["datasets"].update(faces={**params["datasets"]["photos"], "size": 16}))
    assert set(ran(ours.dvc("repro"))) - {"report"} == {"fetch@faces", "shard@faces", "validate@faces"}
    ours.commit("A second data set")
    ours.git("checkout", "--quiet", "main")
    ours.dvc("checkout")
    ours.params(lambda params: params["baselines"].update(features=["mean_colour", "mean_image"][::-1]))
    assert set(ran(ours.dvc("repro"))) - {"report"} == {"baseline@small"}
    ours.commit("The baselines the other way round")

    (commands,) = sections()["Merging two branches"]
    assert commands[0] == "git merge faces"
    merge = ours.run("git", "merge", "faces", status=1).stdout
    assert "Merge conflict in dvc.lock" in merge
    records = ours.records()
    said = follow(ours, commands[1:])["dvc repro"]
    assert re.findall(r"^Stage '(.+)' is cached - skipping run", said, re.MULTILINE) == ["fetch@faces", "shard@faces"]
    assert set(ran(said)) - {"report"} == {"validate@faces"}
    again = {name for name, time in ours.records().items() if time != records[name]}
    assert again - {"report"} == {"validate@faces"}
    assert ours.git("diff", "faces", "--", "reports/validation") == ""
    assert ours.dvc("status").strip() == "Data and pipelines are up to date."
    assert ours.git("status", "--porcelain") == ""
    lock = load_yaml(ours.root / "dvc.lock")["stages"]
    assert lock["shard@faces"]["params"]["params.yaml"]["datasets.faces"]["size"] == 16
    assert lock["baseline@small"]["params"]["params.yaml"]["baselines.features"][0] == "mean_image"
    assert len(ours.git("log", "-1", "--format=%P").split()) == 2


def test_independent_stages_run_in_parallel(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    rows = list(copy.params()["reconstructors"])
    copy.params(lambda params: [row.update(training={"epochs": 3}) for row in params["reconstructors"].values()])
    (commands,) = sections()["Independent stages in parallel"]
    *before, last = commands
    said = follow(copy, before)
    trained = {f"train@{row}" for row in rows}
    assert ran(said[before[0]]) == []
    assert set(ran(said[before[1]])) == trained
    assert len(trained) == 5
    assert last == "dvc repro"
    left = stale(copy)
    assert not left & trained
    assert {f"evaluate@{row}" for row in rows} <= left
    lock = load_yaml(copy.root / "dvc.lock")["stages"]
    tracked = [lock[f"train@{row}"]["params"]["params.yaml"][f"reconstructors.{row}"] for row in rows]
    assert {row["training"]["epochs"] for row in tracked} == {3}


def test_an_experiment_changes_one_row(project: Project, tmp_path: Path):
    copy = project.copy(tmp_path / "copy")
    before = copy.params()
    run, back = sections()["Experiments"]
    said = follow(copy, run)
    assert set(ran(said[run[0]])) - {"report"} == {"train@small-layer1", "evaluate@small-layer1"}
    after = copy.params()
    assert after["reconstructors"]["small-layer1"].pop("training") == {"epochs": 2}
    assert after == before
    changed = {line.split()[0] for line in said["dvc metrics diff"].splitlines() if ".json" in line}
    assert changed == {"metrics/features/small-layer1/test.json"}
    for name in ("psnr", "ssim", "lpips_untrained"):
        assert name in said["dvc metrics diff"]
    assert "longer" in said[run[2]]
    difference = json.loads(copy.run("dvc", "metrics", "diff", "--json").stdout)
    assert list(difference) == ["metrics/features/small-layer1/test.json"]

    follow(copy, back)
    assert copy.dvc("status").strip() == "Data and pipelines are up to date."
    assert copy.results() == project.results()
    branch = copy.git("show", "try-longer:params.yaml")
    (tmp_path / "branch.yaml").write_text(branch, encoding="utf-8")
    assert load_yaml(tmp_path / "branch.yaml")["reconstructors"]["small-layer1"]["training"] == {"epochs": 2}
