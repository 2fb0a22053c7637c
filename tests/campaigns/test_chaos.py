"""The campaign of bad luck in short: three kills, a flipped byte in each place, and a fault that it must find."""

import random
import re
from pathlib import Path

import pytest
from campaigns.chaos import flips, kills
from campaigns.chaos.ground import LOCK, RWLOCK, STAGES, Duration, Peace, faults, go_on, in_peace, undone
from conftest import Project

STAGE = "observe@two-boxes"
SLOW_AND_IN_PLACE = """
import sys, time
from pathlib import Path

out, first = Path("data/observations/two-boxes"), Path(".git/first")
out.mkdir()
(out / "index.json").write_text("half")
if not first.exists():
    first.touch()
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def peace(project: Project) -> Peace:
    return in_peace(project)


@pytest.fixture(scope="module")
def duration(peace: Peace, tmp_path_factory: pytest.TempPathFactory) -> Duration:
    return kills.measure(peace, STAGE, tmp_path_factory.mktemp("measured") / "work")


@pytest.mark.parametrize(("way", "moment"), [("KILL all", 0.5), ("KILL stage", 0.7), ("KILL dvc", 0.4)])
def test_a_killed_stage_ends_as_in_peace(peace: Peace, duration: Duration, way: str, moment: float, tmp_path: Path):
    outcome = kills.strike(peace, kills.Kill(0, STAGE, way, moment), duration, tmp_path / "work")
    assert (outcome.faults, outcome.by_hand, outcome.restarts) == ([], "", 1)


def test_an_output_that_is_written_in_place_is_found(peace: Peace, tmp_path: Path) -> None:
    project = peace.project.copy(tmp_path / "planted")
    (project.root / "stages/observe.py").unlink()
    (project.root / "stages/observe.py").write_text(SLOW_AND_IN_PLACE, encoding="utf-8")
    duration = Duration(whole=10, began=0, ended=10)
    found = kills.strike(
        peace._replace(project=project), kills.Kill(0, STAGE, "KILL stage", 0.5), duration, tmp_path / "work"
    ).faults
    assert "data/observations/two-boxes: half made under its own name" in found
    assert "data/observations/two-boxes/index.json: other bits" in found
    assert "data/observations/two-boxes/val-000000.tar: missing" in found


def test_what_is_left_over_lost_or_damaged_is_found(peace: Peace, tmp_path: Path) -> None:
    project = peace.project.copy(tmp_path / "copy")
    assert faults(project, peace) == []
    (project.root / ".afterimage/training/pix2pix/checkpoint.pt").write_bytes(b"left")
    (project.root / "metrics/holes/pix2pix/test.json").unlink()
    flips.turn([project.root / "data/models/pix2pix/model.safetensors"], random.Random(0))
    assert faults(project, peace) == [
        ".afterimage/training/pix2pix/checkpoint.pt: left over",
        "metrics/holes/pix2pix/test.json: missing",
        "data/models/pix2pix/model.safetensors: other bits",
    ]


@pytest.mark.parametrize(("name", "kept"), [(LOCK, 0), (LOCK, 8183), (RWLOCK, 0)])
def test_what_dvc_cuts_short_is_put_right_by_hand(peace: Peace, name: str, kept: int, tmp_path: Path) -> None:
    """DVC was killed while it wrote the file; the page says what to do then."""
    project = undone(peace, "fetch@photos", tmp_path / "work")
    path = project.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(path.read_bytes()[:kept] if path.exists() else b"")
    end = go_on(project, peace, "fetch@photos")
    assert (end.by_hand, end.faults) == (name, [])


def test_a_stage_that_is_undone_is_known_nowhere(peace: Peace, tmp_path: Path) -> None:
    project = undone(peace, "evaluate@pix2pix", tmp_path / "work")
    lost = {re.sub(r": .*", "", fault) for fault in faults(project, peace) if not fault.startswith("dvc.lock")}
    assert {name for name in lost if not name.startswith(".dvc/cache")} == {
        ".afterimage/runs/evaluate@pix2pix.json",
        "metrics/holes/pix2pix/test.json",
        *(name for name in peace.files if name.startswith("data/reconstructions/pix2pix/")),
        *(name for name in peace.files if name.startswith("reports/measured/pix2pix/")),
    }
    assert project.dvc("repro", "--dry", "-s", "evaluate@pix2pix").count("python stages/evaluate.py pix2pix") == 1


def test_kills_follow_from_the_seed_and_strike_each_stage_in_each_way() -> None:
    drawn = [kills.draw(7, number) for number in range(len(STAGES) * len(kills.WAYS))]
    assert {(kill.stage, kill.way) for kill in drawn} == {(stage, way) for stage in STAGES for way in kills.WAYS}
    assert drawn[3] == kills.draw(7, 3) != kills.draw(8, 3)
    assert len({round(kill.moment, 1) for kill in drawn}) == 11


@pytest.mark.parametrize("where", ["output", "linked", "cache", "remote"])
def test_a_flipped_byte_is_named_and_mended(peace: Peace, where: str, tmp_path: Path) -> None:
    name = "data/observations/two-boxes/val-000000.tar"
    if where in ("cache", "remote"):
        name = f".dvc/cache/files/md5/{peace.files[name][:2]}/{peace.files[name][2:]}"
    found = flips.flip(peace, "tar", name, where, random.Random(1), tmp_path / "work")
    assert (found.named, found.mended, found.faults) == (True, True, [])


def test_the_list_of_a_folder_is_mended_and_nothing_else_comes_into_the_cache(peace: Peace, tmp_path: Path) -> None:
    """Of a stage whose other outputs Git keeps: `dvc commit --force` would take those into the cache, too."""
    (md5,) = (out["md5"] for out in peace.lock["evaluate@pix2pix"]["outs"] if out["path"].startswith("data/"))
    name = f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    found = flips.flip(peace, "list of a folder", name, "cache", random.Random(1), tmp_path / "work")
    assert (found.named, found.mended, found.faults) == (True, True, [])
