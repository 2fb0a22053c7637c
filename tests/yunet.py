"""A file that OpenCV's FaceDetectorYN takes for YuNet: it finds a face wherever 8 x 8 px are red.

The network has one convolution for each output of YuNet at each of its three strides; those of strides 16 and 32 find
nothing. ONNX is written by hand: a message is its fields, each a number that says which and how, then the value.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SIDE = 60.0
"""Of the face, in px; its centre is the middle of the red square."""
LANDMARKS = ((0.342, 0.462), (0.657, 0.460), (0.500, 0.641), (0.371, 0.825), (0.632, 0.823))


def write(path: Path, angle: float = 0.0, canvas: int = 640) -> Path:
    """Args:
    angle: of the faces that it finds, in radians, clockwise.
    """
    turn = np.exp(1j * angle)
    places = [SIDE * turn * (complex(*place) - 0.5 - 0.5j) for place in LANDMARKS]
    nodes, constants, outputs = [], [], []
    for stride in (8, 16, 32):
        landmarks = [value / stride + 0.5 for place in places for value in (place.real, place.imag)]
        box = [0.5, 0.5, np.log(SIDE / stride), np.log(SIDE / stride)]
        for name, values in (("cls", [0.0]), ("obj", [0.0]), ("bbox", box), ("kps", landmarks)):
            weights = np.zeros((len(values), 3, stride, stride), dtype=np.float32)
            if name in ("cls", "obj") and stride == 8:
                weights[0] = np.array([-1, -1, 1])[:, None, None] / (255 * stride**2)  # OpenCV has BGR
            label = f"{name}_{stride}"
            count = (canvas // stride) ** 2
            constants += [
                _tensor(f"w{label}", weights),
                _tensor(f"b{label}", np.array(values, dtype=np.float32)),
                _tensor(f"s{label}", np.array([1, count, len(values)], dtype=np.int64)),
            ]
            strides = _numbers("strides", [stride, stride])
            nodes += [
                _node("Conv", [f"input w{label} b{label}", f"c{label}"], strides),
                _node("Transpose", [f"c{label}", f"t{label}"], _numbers("perm", [0, 2, 3, 1])),
                _node("Reshape", [f"t{label} s{label}", label]),
            ]
            outputs.append(_value(label, [1, count, len(values)]))
    graph = [
        *(_bytes(1, node) for node in nodes),
        _bytes(2, b"graph"),
        *(_bytes(5, constant) for constant in constants),
        _bytes(11, _value("input", [1, 3, canvas, canvas])),
        *(_bytes(12, output) for output in outputs),
    ]
    model = [_number(1, 8), _bytes(7, b"".join(graph)), _bytes(8, _bytes(1, b"") + _number(2, 13))]
    path.write_bytes(b"".join(model))
    return path


def _node(kind: str, ends: Sequence[str], *attributes: bytes) -> bytes:
    given, made = (end.split() for end in ends)
    parts = [_bytes(1, name.encode()) for name in given] + [_bytes(2, name.encode()) for name in made]
    return b"".join([*parts, _bytes(4, kind.encode()), *(_bytes(5, each) for each in attributes)])


def _numbers(name: str, values: Sequence[int]) -> bytes:
    return _bytes(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7)


def _tensor(name: str, values: np.ndarray) -> bytes:
    shape = b"".join(_number(1, side) for side in values.shape)
    kind = {"float32": 1, "int64": 7}[str(values.dtype)]
    return shape + _number(2, kind) + _bytes(8, name.encode()) + _bytes(9, values.tobytes())


def _value(name: str, shape: Sequence[int]) -> bytes:
    sides = b"".join(_bytes(1, _number(1, side)) for side in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, 1) + _bytes(2, sides)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
