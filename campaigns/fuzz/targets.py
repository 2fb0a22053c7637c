"""What is read, and by what: a line or two for each, then the readers."""

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from unittest import mock

from click.testing import CliRunner

from afterimage.core.errors import AfterimageError
from campaigns.fuzz import guard, mutations, samples

Files = dict[str, bytes]
"""An input: the contents of a folder, by path."""
HERE = Path()


@dataclass(frozen=True)
class Target:
    """Inputs of one kind, and what reads them."""

    name: str
    seeds: Callable[[], list[Files]]
    """Sound inputs."""
    read: Callable[[], None]
    """Reads the input in the working directory; ends well or with an AfterimageError."""
    hostile: Callable[[Random], Files] | None = None
    """Draws an input that is made to do harm."""
    named: tuple[str, ...] = ()
    """One of these is in the text of every fault."""

    def make(self, seed: int, number: int) -> Files:
        """The input of this number: in one of ten cases made to do harm or left as it is, else damaged."""
        random = Random(f"{seed} {self.name} {number}")
        chance = random.random()
        if self.hostile is not None and chance < 0.1:
            return {**self.seeds()[0], **self.hostile(random)}
        files = dict(random.choice(self.seeds()))
        if chance < 0.98:
            name = random.choice(sorted(files))
            files[name] = mutations.mutated(name, files[name], random)
        return files


def single(files: Callable[[], Files]) -> Callable[[], list[Files]]:
    """Each file as an input of its own."""
    return lambda: [{name: data} for name, data in files().items()]


def every(*steps: Callable[[], object], named: tuple[str, ...] = ()) -> None:
    """Take all steps, whatever the ones before ended with; the first fault is the one that is told."""
    faults = []
    for step in steps:
        try:
            step()
        except AfterimageError as error:
            guard.check_text(error, named)
            faults.append(error.with_traceback(None))  # which would keep what was read, while the next step reads
    if faults:
        raise faults[0]


class ExitError(AfterimageError):
    """A command ended with status 1 and this line."""


class UsageError(AfterimageError):
    """A command ended with status 2 and click's words."""


def command(*words: str) -> None:
    """Run `afterimage` with these words."""
    from afterimage.cli import main

    done = CliRunner().invoke(main, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    said = done.stderr.strip("\n").split("\n")
    if done.exit_code == 1:
        if len(said) != 1 or not said[0].startswith("afterimage: "):
            raise guard.UntidyError(f"status 1 with {len(said)} lines: {done.stderr[:300]!r}")
        raise ExitError(said[0])
    if done.exit_code == 2:
        raise UsageError(said[-1])
    if done.exit_code:
        raise guard.UntidyError(f"status {done.exit_code}: {done.stderr[:300]!r}")


# Images


def _only() -> tuple[Path, bytes]:
    path = next(path for path in HERE.iterdir() if path.is_file())
    return path, path.read_bytes()


def read_image() -> None:
    from afterimage.core import images
    from afterimage.datasets import sources

    _, data = _only()
    every(
        lambda: sources.upright(images.open_header(data)),
        lambda: images.needs_no_change(data),
        lambda: images.decode(data),
    )


def read_upload() -> None:
    from afterimage.app import safety

    path, data = _only()
    name = f"../<b>\n{path.name}"
    every(
        lambda: safety.picture(name, data),
        lambda: safety.mask_from_file(name, data, (48, 40), "auto"),
        lambda: safety.batch([(name, len(data))] * 3),
        named=(path.stem[:3],) if path.name != "drawing.json" else (),
    )


def read_drawing() -> None:
    import json

    from afterimage.app import safety

    with suppress(ValueError, RecursionError):
        safety.mask_from_shapes(json.loads(Path("drawing.json").read_bytes()), (48, 40))


def read_mask() -> None:
    from afterimage.apply import holes
    from afterimage.observations.holes import masks

    path, data = _only()

    def as_it_is(image, mask, draws=None):  # type: ignore[no-untyped-def]
        return holes.Filled(image, [], None)

    hole = masks.of_boxes([masks.Box(2, 2, 9, 9)], 40, 48, "box")
    every(
        lambda: masks.read(data, path.name),
        lambda: masks.read(data, path.name, "white"),
        lambda: holes.fill(as_it_is, data, hole),  # type: ignore[arg-type]
    )


# Data sets


def read_archive() -> None:
    from afterimage.datasets import sources
    from afterimage.datasets.sources import archive

    path = _only()[0]
    boxes = {"table": "boxes.csv", "image": "image", "corners": [["a", "b", "c", "d"]]}
    for more in ({}, {"boxes": boxes}):
        row = archive.Row.model_validate(
            {"source": "archive", "path": str(path), "size": 16, "max_rejected": 1.0, **more}
        )
        out = Path("raw") / str(len(more))
        with suppress(AfterimageError) if not more else redirect_stderr(io.StringIO()):
            sources.fetch(row, "set", out)


@cache
def dataset() -> Files:
    """Raw images and shards, as fetch and shard leave them."""
    from afterimage.datasets import sharding, sources
    from afterimage.datasets.sources import archive

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as top, redirect_stderr(io.StringIO()):
        os.chdir(top)
        try:
            Path("set.tar").write_bytes(samples.archives()["set.tar"])
            row = archive.Row.model_validate({"source": "archive", "path": "set.tar", "size": 16})
            sources.fetch(row, "set", Path("raw"))
            sharding.write(row, "set", Path("raw"), Path("shards"))
            return {name: data for name, data in samples.folder(Path(top)).items() if name != "set.tar"}
        finally:
            os.chdir(here)


def read_dataset() -> None:
    from afterimage.core import shards
    from afterimage.datasets import sharding
    from afterimage.datasets.sources import archive
    from afterimage.evaluation import evaluating
    from afterimage.validation import measured

    folder, raw = Path("shards"), Path("raw")
    row = archive.Row.model_validate({"source": "archive", "path": "set.tar", "size": 16, "max_rejected": 1.0})

    def gate() -> None:
        index = shards.load_index(folder)
        listed = measured.read_csv(folder / "samples.csv", ["key", "split", "shard", "image", "group"])
        measured.read_csv(folder / "rejected.csv", ["origin", "kind", "reason"])
        manifest = measured.read_csv(raw / "manifest.csv", ["key", "origin", "group", "split"])
        measured.shard_files(folder, index)
        found = measured.samples(folder, index, listed, manifest)
        measured.count_samples(index, found, listed)
        measured.neighbours(found)
        measured.spread(found, "group")

    def table() -> None:
        held = shards.Table(folder, "test")
        for place in range(len(held)):
            held.bytes(place)

    named = ("shards", "raw", "set")
    every(
        gate,
        table,
        lambda: evaluating.samples_of(folder),
        lambda: sharding.write(row, "set", raw, Path("again")),
        named=named,
    )


def read_clip() -> None:
    from afterimage.datasets.sources import video as source
    from afterimage.video import reading

    path, data = _only()

    def frames(clip: Path | reading.Memory) -> None:
        faults: list[str] = []
        for number, _ in enumerate(reading.frames(reading.probe(clip), faults)):
            if number > 50:
                break
        for fault in faults:
            guard.check_text(AfterimageError(fault), ())

    def fetched() -> None:
        row = source.Row.model_validate({"source": "video", "path": path.name, "size": 16, "rate": 5.0})
        for number, item in enumerate(source.items(row)):
            with suppress(AfterimageError):
                item.open().read()
            if number > 50:
                break

    form = {"mp4": "mp4", "avi": "avi", "mjpeg": "mjpeg", "mkv": "matroska"}.get(path.suffix[1:], "mp4")
    every(
        lambda: frames(path),
        lambda: frames(reading.Memory(path.name, data, form)),
        fetched,
        named=(path.name,),
    )


# Arrays, weights, cards


def read_array() -> None:
    from afterimage.apply import features
    from afterimage.core import arrays

    path, data = _only()
    every(lambda: arrays.from_npy(data, path.name), lambda: features.read_features(path), named=(path.name,))


def read_weights() -> None:
    from afterimage.core import outputs, weights

    path, _ = _only()
    every(
        lambda: weights.from_file(path, outputs.sha256(path)),
        lambda: weights.load(path),
        named=(path.name,),
    )


def read_outside() -> None:
    """A model of other people is loaded, and asked for an image."""
    import torch

    from afterimage.reconstructors.external import checkpoint, onnx
    from afterimage.reconstructors.external.asking import Asked

    path, data = _only()
    cpu, one = torch.device("cpu"), [torch.full((1, 3, 16, 16), 0.5)]
    # A graph is loaded in an empty folder, which may lie here
    with mock.patch.object(tempfile, "tempdir", str(HERE.absolute())):
        if path.suffix == ".onnx":
            graph = onnx.Graph(data, path.name, cpu)
            asked = Asked(path.name, "frames", lambda parts: graph(parts), cpu)
        else:
            row = checkpoint.Row.model_construct(observes="frames", tile=None, half=False)
            network = checkpoint.Network(checkpoint.described(data, path.name), path.name, row, cpu)
            asked = Asked(path.name, "frames", network, cpu)
        asked._one(one, (16, 16))


CARD = b"""{"row": "mine", "kind": "decoder", "observes": "features", "observation": "vgg/relu1_2", "dataset": "photos",
"size": 16, "words": "a decoder", "parameters": 9, "epochs": 2, "settings": {"kind": "decoder", "observes": "features",
"dataset": "photos", "observation": "vgg/relu1_2"}, "given": [{"observation": "vgg/relu1_2", "kind": "features",
"dataset": "photos", "size": 16, "layer": "relu1_2", "arch": "vgg16", "shape": [64, 16, 16], "dtype": "float16"}]}"""
ZOO = b"""{"about": {"title": "A row", "licence": "none", "data": {}}, "headline": "better", "sha256": {},
""" + CARD[1:]
PARAMS = b"""
datasets:
  photos: {source: folder, path: mine, size: 16, tile: 16}
encoders:
  vgg: {arch: vgg16, weights: random, sha256: null, seed: 0}
  lpips: {arch: alexnet, weights: random, sha256: null, seed: 0}
observations:
  vgg: {kind: features, dataset: photos, encoder: vgg, path: data/weights/vgg.safetensors, layers: [relu1_2]}
  holes: {kind: holes, dataset: photos}
reconstructors:
  # a comment
  mine: {kind: decoder, dataset: photos, observes: features, observation: vgg/relu1_2}
  other:
    kind: decoder
    dataset: photos
    observes: features
    observation: vgg/relu1_2
    seed: 3
searches: {}
shared:
  decoder: {training: {epochs: 2, seeds: [0]}}
training: {batch: 4}
baselines: {features: [mean_colour]}
metrics: {seed: 0, bootstrap: 50}
report: {images: 2}
compute: {portable: true, threads: 1}
"""
PROVENANCE = b"""{"kind": "features", "cases": ["test"], "dataset": "photos", "images": "a",
"observations": {"test": "b"}, "lpips": "none", "seeds": [0], "metrics": {"psnr": "p"}}"""
BUILT_ON = b"""{"cpu": {"machine": "x86_64", "vendor": "a", "family": "1", "model": "2", "name": "c"},
"system": "Linux", "python": "3.11.7", "packages": {"torch": "2.15.0"}}"""
PRESET = b"""
about:
  title: Another
  reproduces: nothing
  samples: {photos: 10}
  needs: {download: nothing, disk: {raw: 1.0}, memory: 1 GB, gpu: none, time: none}
params:
  datasets:
    # mine
    new: {source: folder, path: new, size: 16}
  reconstructors:
    other: null
    mine: {observation: vgg/relu1_2}
"""


def read_zoo() -> None:
    every(lambda: command("zoo"), lambda: command("card", "zoo/mine", "--json"), named=("zoo",))


def read_card() -> None:
    from afterimage import reconstructors

    every(lambda: reconstructors.load(HERE, "mine", "cpu"), named=("card.json", "params.yaml", "data", "kind"))


def read_params() -> None:
    from afterimage import reconstructors
    from afterimage.core import params
    from afterimage.datasets import sources
    from afterimage.evaluation.metrics import MetricsRow
    from afterimage.observations.features.encoders import EncoderRow
    from afterimage.report.project import Project

    path = Path("params.yaml")
    every(
        lambda: params.section(path, "datasets", sources.Dataset),
        lambda: params.section(path, "encoders", EncoderRow),
        lambda: params.table(path, "metrics", MetricsRow),
        lambda: params.values(path, "observations", "vgg"),
        lambda: reconstructors.row(path, "mine"),
        lambda: Project.read(path),
        named=("params.yaml",),
    )


def read_preset() -> None:
    from afterimage.cli import presets

    every(
        lambda: presets.about(Path("presets"), "other"),
        lambda: presets.apply(Path("params.yaml"), Path("presets"), "other"),
        lambda: presets.set_aside(HERE),
        named=(".yaml",),
    )


# Tables, and what results are read from


def read_boxes() -> None:
    from afterimage.observations.holes import masks

    path, _ = _only()

    def drawn() -> None:
        for name, boxes in masks.read_boxes(path).items():
            masks.of_boxes([box for box, _ in boxes], 40, 48, f"{path}: {name}")

    every(drawn, named=(path.name,))


def read_submission() -> None:
    command("check-submission", "s.csv", "--boxes", "boxes.csv", "--originals", "originals", "--quiet")


def submission() -> Files:
    rows = [f"a.png_0_{place},{place / 20:.6f}" for place in range(12)]
    text = "\n".join(["id,value", *rows]) + "\n"
    picture = samples.encoded("PNG", width=8, height=8)
    return {"s.csv": text.encode(), "boxes.csv": b"file,l,t,r,b\na.png,1,1,3,3\n", "originals/a.png": picture}


def results() -> Files:
    """A project with one measured row, and the same once more to compare it with."""
    lines = "\n".join(f"k{n},p{n},g{n % 2},{20 + n}.5,0.{n + 1}" for n in range(6))
    interval = '{"mean": 22.0, "low": 20.0, "high": 24.0}'
    lock = """schema: '2.0'
stages:
  train@mine:
    cmd: python stages/train.py mine
    deps:
    - path: src
      md5: aa
    params:
      params.yaml:
        reconstructors.mine: {kind: decoder}
    outs:
    - path: data/models/mine
      md5: bb
  evaluate@mine:
    cmd: python stages/evaluate.py mine
    deps:
    - path: data/models/mine
      md5: bb
    outs:
    - path: reports/measured/mine
      md5: cc
"""
    there = "reports/measured/mine"
    one = {
        "params.yaml": PARAMS,
        "dvc.yaml": b"stages:\n  train: {foreach: [mine], do: {cmd: x}}\n  evaluate: {cmd: x}\nplots:\n- reports/x\n",
        "dvc.lock": lock.encode(),
        "built-on.json": BUILT_ON,
        "metrics/features/mine/test.json": b'{"psnr": 22.0, "ssim": 0.3}',
        f"{there}/test/images.csv": f"key,image,group,psnr,ssim\n{lines}\n".encode(),
        f"{there}/test/intervals.json": (
            f'{{"images": 6, "metrics": {{"psnr": {interval}, "ssim": {interval}}}}}'.encode()
        ),
        f"{there}/provenance.json": PROVENANCE,
        "data/models/mine/card.json": CARD,
        "data/models/mine/curves.csv": b"epoch,train_mse,val_psnr\n1,0.2,20\n2,0.1,21\n",
    }
    other = {f"other/{name}": data for name, data in one.items() if not name.startswith("data")}
    other[f"other/{there}/test/images.csv"] = one[f"{there}/test/images.csv"].replace(b".5,", b".9,")
    return one | other


def read_results() -> None:
    from afterimage.review import comment, rebuilds
    from afterimage.review.revisions import side

    def compared() -> None:
        rebuilds.compare(side(HERE, "other"), side(HERE, None))

    every(
        lambda: command("rows", "--json"),
        lambda: command("card", "mine"),
        lambda: command("diff", "other"),
        lambda: command("diff", "other", ".", "--json"),
        compared,
        lambda: list(comment._flat(comment._loaded(side(HERE, "other")))),
        named=("params.yaml", "metrics", "reports", "dvc.", "built-on", "card", "data/", "mine", "other", "results"),
    )


TARGETS = {
    target.name: target
    for target in (
        Target("images", single(samples.images), read_image),
        Target("uploads", single(samples.images), read_upload),
        Target("masks", single(lambda: {"mask.png": samples.mask(), **samples.images()}), read_mask),
        Target("drawings", lambda: [{"drawing.json": DRAWING}], read_drawing),
        Target("archives", single(samples.archives), read_archive, samples.hostile_archive, ("set",)),
        Target("shards", lambda: [dataset()], read_dataset, None, ("shards", "raw", "set")),
        Target("clips", single(samples.clips), read_clip),
        Target("arrays", single(samples.arrays), read_array, samples.hostile_array),
        Target("weights", single(samples.weights), read_weights, samples.hostile_weights),
        Target("outside", single(samples.outside), read_outside, samples.hostile_weights),
        Target("zoo", lambda: [{"zoo/mine/card.json": ZOO}], read_zoo),
        Target("cards", lambda: [{"params.yaml": PARAMS, "data/models/mine/card.json": CARD}], read_card),
        Target("params", lambda: [{"params.yaml": PARAMS}], read_params, samples.hostile_yaml, ("params.yaml",)),
        Target("presets", lambda: [{"params.yaml": PARAMS, "presets/other.yaml": PRESET}], read_preset),
        Target("boxes", lambda: [{"boxes.csv": BOXES}, {"boxes.txt": BOXES}], read_boxes),
        Target("submissions", lambda: [submission()], read_submission),
        Target("results", lambda: [results()], read_results),
    )
}
BOXES = b"file,left,top,right,bottom\na.png,1,2,8,9\nb/a.png,0,0,4,4,5,5,9,9\n"
DRAWING = b"""[{"kind": "box", "box": [1, 2, 30, 20]},
{"kind": "stroke", "width": 5, "points": [[1, 2], [30.5, 20], [7, 7]]}]"""
