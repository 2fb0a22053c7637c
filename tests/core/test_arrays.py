from pathlib import Path

import numpy as np
import pytest

from afterimage.core.arrays import from_npy, to_npy
from afterimage.core.errors import ShardError


@pytest.mark.parametrize("data", [b"", b"not an array", b"".join(to_npy(np.zeros(3)))[:-1], b"\x93NUMPY\x01\x00"])
def test_damaged_arrays_are_named(data: bytes) -> None:
    with pytest.raises(ShardError, match="cat: not an array"):
        from_npy(data, "cat")


def test_npy_is_numpy_s_own(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float16).reshape(2, 3, 4)
    path = tmp_path / "x.npy"
    path.write_bytes(b"".join(to_npy(array)))
    np.testing.assert_array_equal(np.load(path), array)
    np.testing.assert_array_equal(from_npy(path.read_bytes(), "x"), array)
