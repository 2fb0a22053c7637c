import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from afterimage.core import outputs
from afterimage.core.errors import SpaceError


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), outputs.folder(target) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with outputs.folder(target) as folder:
        (folder / "a").write_text("x")
        assert not target.exists()
    with outputs.folder(target) as folder:
        (folder / "b").write_text("x")
        assert (target / "a").exists()  # the old one stays until the new one is whole
    assert [path.name for path in target.iterdir()] == ["b"]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "deep/out.txt"
    with pytest.raises(RuntimeError), outputs.file(target) as path:
        path.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with outputs.file(target) as path:
        path.write_text("whole")
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/half").write_text("x")
    with outputs.folder(tmp_path / "out") as folder:
        assert list(folder.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_is_the_same_for_the_same_data_and_holds_no_nan(tmp_path: Path) -> None:
    outputs.write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    outputs.write_json(tmp_path / "b.json", {"a": "é", "b": 1})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(ValueError, match="Out of range float"):
        outputs.write_json(tmp_path / "c.json", {"a": float("nan")})
    assert not (tmp_path / "c.json").exists()


def test_csv_has_one_newline_a_line(tmp_path: Path) -> None:
    outputs.write_csv(tmp_path / "a.csv", ("key", "note"), [("a", 'one, "two"'), ("b", 3)])
    assert (tmp_path / "a.csv").read_bytes() == b'key,note\na,"one, ""two"""\nb,3\n'


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert outputs.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def _by_the_system() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _by_torch() -> None:
    try:
        _by_the_system()
    except OSError:
        raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 - as torch does, while the first is on its way


def _by_safetensors() -> None:
    raise ValueError(f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")


@pytest.mark.parametrize("fill", [_by_the_system, _by_torch, _by_safetensors])
def test_a_full_disk_is_one_line_whoever_wrote(tmp_path: Path, fill: Callable[[], None]) -> None:
    target = tmp_path / "out"
    line = f"^{target}: No space left on device; make room and run the same command to go on$"
    for kind in (outputs.file, outputs.folder):
        with pytest.raises(SpaceError, match=line), kind(target):
            fill()
    with pytest.raises(SpaceError, match="inside: No space"), outputs.folder(target) as folder:
        outputs.write_json(folder / "good.json", 1)
        with outputs.file(folder / "inside"):
            fill()
    assert list(tmp_path.iterdir()) == []


def test_another_fault_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="^a bug$"), outputs.file(tmp_path / "out"):
        with suppress(OSError):
            raise OSError(errno.EACCES, "no")
        raise RuntimeError("a bug")
