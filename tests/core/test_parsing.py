"""The door through which parsers' errors pass, and the text of every fault."""

import errno
import io
from pathlib import Path

import av
import pytest

from afterimage.core import arrays, params
from afterimage.core.errors import AfterimageError, ImageError, ParamsError, ShardError, VideoError
from afterimage.core.parsing import LONGEST, from_csv, from_json, from_yaml, parsing


def test_the_text_of_a_fault_is_one_line_that_can_be_printed() -> None:
    text = str(AfterimageError("a\n  b\r\u2028c: \x1b[2J\x00\ud83d, 中 é"))
    assert text == "a b c: \\x1b[2J\\x00\\ud83d, 中 é"
    assert len(str(AfterimageError("x" * 10_000))) == 2000


@pytest.mark.parametrize("error", [KeyError("k"), SyntaxError("a\nb"), RecursionError(), OSError("broken"), EOFError()])
def test_whatever_a_parser_raises_is_one_fault(error: Exception) -> None:
    with pytest.raises(ImageError, match=r"^damaged: .+$") as caught, parsing(ImageError, "damaged"):
        raise error
    assert len(str(caught.value).splitlines()) == 1


def test_ffmpegs_lack_of_memory_is_a_word_about_the_bytes() -> None:
    with pytest.raises(VideoError, match=r"^clip: Cannot allocate memory$"), parsing(VideoError, "clip"):
        raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")


@pytest.mark.parametrize(
    "error",
    [
        ParamsError("better said"),
        FileNotFoundError(errno.ENOENT, "none", "x"),
        OSError(errno.ENOSPC, "full"),
        MemoryError(),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not_about_the_bytes_keeps_its_sense(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, parsing(ImageError, "damaged"):
        raise error
    assert caught.value is error


def test_a_parsers_words_are_bounded_and_have_no_address() -> None:
    with pytest.raises(ImageError) as caught, parsing(ImageError, "damaged"):
        raise ValueError(f"<Name object at 0x7fe1a82fc250> {'x' * 9999}")
    assert str(caught.value).startswith("damaged: <Name object> x") and len(str(caught.value)) < LONGEST + 20


LAUGHS = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(12))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: \x07b", "p.yaml: not valid YAML: unacceptable character #x0007"),
        ("a: b\nc: [", "p.yaml, line 3: not valid YAML"),
        (LAUGHS, "aliases make more than 1000000 values"),
        ("a: &a [*a]", "more than 100 levels deep, or within itself"),
        ("[" * 100_000, "more than 100 levels deep"),  # loading it would end the process
    ],
)
def test_yaml_that_is_none_or_does_harm(text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        from_yaml(text.encode(), "p.yaml", ParamsError)


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"a":' * 200 + "1" + "}" * 200, '{"a": ' + "9" * 5000 + "}"]
)
def test_json_that_is_no_object(text: str) -> None:
    with pytest.raises(ShardError, match=r"^i.json: "):
        from_json(text.encode(), "i.json", ShardError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1\n", "t.csv, line 2: 1 cells, expected 2"),
        ("a,c\n1,2\n", "t.csv: no column b; there are a, c"),
        ('a,b\n1,"2"x\n', "t.csv: not a table"),
        (f"a,b\n1,{'x' * 200_000}\n", "t.csv: not a table"),
    ],
)
def test_tables_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ShardError, match=message):
        list(from_csv(io.StringIO(text, newline=""), "t.csv", ShardError, ("a", "b")))


def npy(header: str, body: bytes = bytes(64), length: bytes | None = None) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + (length or len(text).to_bytes(2, "little")) + text + body


@pytest.mark.parametrize(
    "data",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 3), "),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }\n"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(64),
    ],
)
def test_headers_of_arrays_that_are_broken_or_claim_too_much(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.npy").write_bytes(data)
    with pytest.raises(ShardError, match=r"^f.npy: not an array"):
        arrays.from_npy(data, "f.npy")
    with pytest.raises(ShardError, match=r"f.npy: not an array of numbers"):
        arrays.load(tmp_path / "f.npy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shared: [1]", "`shared` should be a mapping"),
        ("shared: {decoder: 3}", "`shared.decoder` should be a mapping"),
        ("datasets: !!binary aGk=", "`datasets` should be a mapping"),
        ("datasets: {1: {}}", "expected a name as the key, found 1"),
    ],
)
def test_parameters_of_another_shape(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        params.load(tmp_path / "params.yaml")
