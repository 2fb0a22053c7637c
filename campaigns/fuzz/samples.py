"""Sound inputs of each format, the same every time, and hostile ones that damage alone would not make."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

PAYLOADS = ("os.system", "builtins.exec", "os.mkdir")


def picture(width: int = 48, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A gradient with noise."""
    random = np.random.default_rng(width * height)
    ground = np.linspace(0, 200, width)[None, :, None] + random.integers(0, 50, (height, width, 3))
    return Image.fromarray(ground.astype(np.uint8)).convert(mode)


def encoded(form: str, mode: str = "RGB", width: int = 48, height: int = 40, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture(width, height, mode).save(stream, form, **options)
    return stream.getvalue()


@cache
def images() -> dict[str, bytes]:
    """Files of the formats that are read, and of some that must not be, by name."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    frames = [picture(48, 40, "P"), picture(48, 40, "P").rotate(90), picture(48, 40, "P").rotate(180)]
    deep = Image.fromarray(np.arange(48 * 40, dtype=np.uint16).reshape(40, 48) * 30)
    found = {
        "a.jpg": encoded("JPEG", exif=exif),
        "progressive.jpg": encoded("JPEG", progressive=True, quality=30),
        "cmyk.jpg": encoded("JPEG", "CMYK"),
        "grey.jpg": encoded("JPEG", "L", dpi=(72, 72), comment="words"),
        "a.png": encoded("PNG", exif=exif),
        "alpha.png": encoded("PNG", "RGBA"),
        "palette.png": encoded("PNG", "P", transparency=3),
        "bits.png": encoded("PNG", "1"),
        "grey-alpha.png": encoded("PNG", "LA"),
        "a.gif": encoded("GIF", "P"),
        "a.webp": encoded("WEBP", quality=60, exif=exif),
        "lossless.webp": encoded("WEBP", "RGBA", lossless=True),
        "a.tif": encoded("TIFF", exif=exif),
        "deflate.tif": encoded("TIFF", compression="tiff_deflate"),
        "lzw.tif": encoded("TIFF", "CMYK", compression="tiff_lzw"),
        "fax.tif": encoded("TIFF", "1", compression="group4"),
        "float.tif": encoded("TIFF", "F"),
        "a.bmp": encoded("BMP"),
        "palette.bmp": encoded("BMP", "P"),
        "a.ppm": encoded("PPM"),
        "a.pgm": encoded("PPM", "L"),
        "a.tga": encoded("TGA", "RGBA", compression="tga_rle"),
        "a.jp2": encoded("JPEG2000"),
        "a.avif": encoded("AVIF", quality=50, max_threads=1),
        "a.heic": encoded("HEIF", quality=50),
        "a.eps": encoded("EPS"),
        "a.pdf": encoded("PDF"),
        "a.pcx": encoded("PCX"),
        "a.ico": encoded("ICO"),
    }
    for name, form in (("frames.gif", "GIF"), ("frames.webp", "WEBP"), ("frames.tif", "TIFF"), ("frames.png", "PNG")):
        stream = io.BytesIO()
        frames[0].convert("RGB").save(stream, form, save_all=True, append_images=frames[1:])
        found[name] = stream.getvalue()
    for name, form in (("deep.png", "PNG"), ("deep.tif", "TIFF"), ("deep.pgm", "PPM")):
        stream = io.BytesIO()
        deep.save(stream, form)
        found[name] = stream.getvalue()
    stream = io.BytesIO()
    picture().save(stream, "MPO", save_all=True, append_images=[picture(40, 48)])
    return found | {"a.mpo.jpg": stream.getvalue()}


@cache
def mask() -> bytes:
    hole = Image.new("L", (48, 40))
    hole.paste(255, (10, 10, 30, 25))
    stream = io.BytesIO()
    hole.save(stream, "PNG")
    return stream.getvalue()


def members() -> dict[str, bytes]:
    """Photographs in folders of the official splits."""
    names = [f"{split}/{number}" for split in ("train", "val", "test") for number in range(2)]
    found = {
        f"{name}.png": encoded("PNG", width=32 + place, height=32 + place, compress_level=1)
        for place, name in enumerate(names)
    }
    return found | {"boxes.csv": b"image,a,b,c,d\ntrain/0.png,1,2,8,9\ntest/1.png,0,0,4,4\n"}


@cache
def archives() -> dict[str, bytes]:
    """The same photographs in each kind of archive."""
    return {f"set.{ending}": archive(ending, members()) for ending in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")}


def archive(ending: str, files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    stream = io.BytesIO()
    if ending == "zip":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, data in files.items():
                zipped.writestr(zipfile.ZipInfo(name), data)
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        for header in extra:
            tar.addfile(header)
    plain = stream.getvalue()
    if ending == "tar":
        return plain
    return {"tar.gz": lambda: gzip.compress(plain, mtime=0), "tar.bz2": lambda: bz2.compress(plain)}.get(
        ending, lambda: lzma.compress(plain)
    )()


def hostile_archive(random: Random) -> dict[str, bytes]:
    """Names, links, devices, doubles and bombs that an archive should not have."""
    ending = random.choice(("zip", "tar", "tar.gz"))
    files = members()
    names = [
        "../../beside.png",
        "/tmp/afterimage-fuzz-escape.png",
        "train/../../../up.png",
        "C:\\x.png",
        "a\\..\\..\\b.png",
    ]
    names += [
        "train/\x00.png",
        "train/\n\x1b[2J.png",
        "train/" + "n" * 300 + ".png",
        "train/é\udcff.png",
        "./train//0.png",
    ]
    for name in random.sample(names, 3):
        if ending != "zip" or "\udcff" not in name:
            files[name] = files["train/0.png"]
    if random.random() < 0.3:
        files["train/bomb.png"] = bytes(random.choice((1 << 20, 1 << 26)))
    extra = []
    for kind in random.sample((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE), 2):
        header = tarfile.TarInfo("train/link.png")
        header.type, header.linkname = (
            kind,
            random.choice(("/etc/passwd", "../../x", "0.png", "link.png", "train/0.png")),
        )
        extra.append(header)
    return {f"set.{ending}": archive(ending, files, tuple(extra))}


class _Payload:
    """Pickles to a call."""

    def __init__(self, which: str, path: str):
        self.which, self.path = which, path

    def __reduce__(self) -> Any:
        import builtins
        import os

        if self.which == "os.system":
            return os.system, (f"touch {self.path}",)
        if self.which == "builtins.exec":
            return builtins.exec, (f"payload = open({self.path!r}, 'w')",)
        return os.mkdir, (self.path,)


def payload(random: Random, path: str = "../executed") -> bytes:
    """A pickle that does something when it is read as one."""
    return pickle.dumps({"weight": _Payload(random.choice(PAYLOADS), path)}, protocol=random.choice((0, 2, 4)))


def hostile_weights(random: Random) -> dict[str, bytes]:
    """A torch file whose pickle executes: bare, or in the zip that torch writes."""
    data = payload(random)
    if random.random() < 0.6:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as zipped:
            zipped.writestr(zipfile.ZipInfo("archive/data.pkl"), data)
            zipped.writestr(zipfile.ZipInfo("archive/version"), b"3\n")
            zipped.writestr(zipfile.ZipInfo("archive/byteorder"), b"little")
        data = stream.getvalue()
    return {"w.pt": data}


def hostile_array(random: Random) -> dict[str, bytes]:
    """Arrays of objects, and headers that claim terabytes or are code."""
    way = random.randrange(3)
    if way == 0:
        header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
        return {"f.npy": _npy(header, payload(random))}
    if way == 1:
        shape = random.choice(((10**12,), (3, 10**6, 10**6), (2**62, 4), (0, 10**12), (-1, 3, 3), (10**30,)))
        return {"f.npy": _npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}", bytes(64))}
    texts = ("__import__('os').system('touch ../executed')", "(" * 3000, "{'descr': '<f4'", "'\\x00'", "9" * 6000)
    return {"f.npy": _npy(random.choice(texts), bytes(64))}


def _npy(header: str, body: bytes) -> bytes:
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


def hostile_yaml(random: Random) -> dict[str, bytes]:
    """Tags that construct objects, aliases that grow or go round, keys that are no names."""
    laughs = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(12))
    texts = (
        f"{laughs}\ndatasets: *a11\n",
        f"{laughs}\ndatasets: {{photos: {{source: *a11}}}}\nmetrics: *a11\n",
        "datasets: &a {photos: *a}\nmetrics: *a\nobservations: *a\n",
        "!!python/object/apply:os.system ['touch ../executed']\n",
        "datasets: !!python/object/new:os.system [touch ../executed]\n",
        "? [a, b]\n: c\ndatasets: {}\n",
        "datasets: {1: {}, null: {}, 2.5: {}}\nmetrics: {1: 2}\n",
        "datasets: !!binary aGk=\nmetrics: !!set {a}\n",
        "--- a\n--- b\n",
        "%YAML 9.9\n---\na: b\n",
    )
    return {"params.yaml": random.choice(texts).encode()}


@cache
def arrays() -> dict[str, bytes]:
    from afterimage.core.arrays import to_npy

    random = np.random.default_rng(0)
    return {
        "f.npy": b"".join(to_npy(random.normal(size=(4, 3, 3)).astype(np.float32))),
        "half.npy": b"".join(to_npy(random.normal(size=(2, 4, 3, 3)).astype(np.float16))),
        "codes.npy": b"".join(to_npy(random.integers(0, 255, (4, 3, 3)).astype(np.uint8))),
    }


@cache
def weights() -> dict[str, bytes]:
    import torch
    from safetensors.torch import save

    state = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3)}
    stream, old = io.BytesIO(), io.BytesIO()
    torch.save(state, stream)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    about = {"afterimage": json.dumps({"row": "mine", "origin": "random, seed 0"})}
    return {"w.safetensors": save(state, about), "w.pt": stream.getvalue(), "old.pt": old.getvalue()}


@cache
def outside() -> dict[str, bytes]:
    """Models of other people: checkpoints of a published architecture, and an ONNX graph."""
    import onnx
    import torch
    from onnx import TensorProto, helper
    from safetensors.torch import save
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    state = {
        name: value.contiguous() for name, value in Compact(num_feat=4, num_conv=1, upscale=2).state_dict().items()
    }
    stream = io.BytesIO()
    torch.save({"params_ema": state}, stream)
    image, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "h", "w"]) for name in ("image", "answer")
    )
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["answer"])], "g", [image], [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data = onnx.ModelProto.SerializeToString(model)
    return {"a.safetensors": save(state), "a.pth": stream.getvalue(), "a.onnx": data}


@cache
def clips() -> dict[str, bytes]:
    import av

    found = {}
    for name, codec, form in (
        ("a.mp4", "mpeg4", "mp4"),
        ("a.avi", "mpeg4", "avi"),
        ("a.mjpeg", "mjpeg", "mjpeg"),
        ("a.mkv", "mjpeg", "matroska"),
    ):
        stream = io.BytesIO()
        with av.open(stream, "w", format=form, options={"fflags": "+bitexact"}) as container:
            track: Any = container.add_stream(codec, rate=25)
            track.width, track.height, track.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(5):
                frame = av.VideoFrame.from_ndarray(np.asarray(picture(64, 48).rotate(number * 9)), "rgb24")
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        found[name] = stream.getvalue()
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"
    return found | {"list.m3u8": playlist, "concat.ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n"}


def folder(path: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {each.relative_to(path).as_posix(): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}
