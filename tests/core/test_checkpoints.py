from pathlib import Path

import pytest
import torch

from afterimage.core import checkpoints


def write(path: Path) -> None:
    checkpoints.write(path, {"fingerprint": "a", "step": 3, "weights": torch.arange(64.0)})


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "deep/checkpoint.pt"
    assert checkpoints.read(path, "a") is None
    write(path)
    found = checkpoints.read(path, "a")
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["weights"], torch.arange(64.0))
    assert checkpoints.read(path, "b") is None
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_flipped_byte_never_gives_other_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "checkpoint.pt"
    write(path)
    whole = path.read_bytes()
    weights = whole.index(torch.arange(64.0).numpy().tobytes())
    for place in (0, weights + 10, *range(0, len(whole), 97), len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        found = checkpoints.read(path, "a")
        assert found is None or (found["step"] == 3 and torch.equal(found["weights"], torch.arange(64.0))), place
        if place == weights + 10:
            assert found is None
            said = capsys.readouterr().err.splitlines()[-1]
            assert said.startswith(f"{path}: not as it was written: ") and said.endswith("; this begins anew")


def test_half_a_file_is_as_good_as_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "checkpoint.pt"
    write(path)
    path.write_bytes(path.read_bytes()[:500])
    assert checkpoints.read(path, "a") is None
    assert capsys.readouterr().err.count("\n") == 1
