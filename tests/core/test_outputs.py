from pathlib import Path

import pytest

from afterimage.core import outputs


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
