"""What a run takes: operations counted by hand, amounts that follow from shapes, times by made-up rates."""

from pathlib import Path

import pytest
import yaml

from afterimage.core.arrays import stored_bytes
from afterimage.core.errors import ParamsError
from afterimage.datasets import sharding
from afterimage.planning import machines, stages, work
from afterimage.planning.machines import Rates
from afterimage.planning.stages import Stage
from afterimage.planning.work import Counted, Features, Network, Work

PARAMS = """\
datasets:
  a: {source: folder, path: there, size: 32, split: {val: 0.1, test: 0.2, seed: 0}}
encoders:
  net: {arch: resnet18, weights: random, sha256: null, seed: 0}
observations:
  net:
    kind: features
    dataset: a
    path: data/weights/net.safetensors
    layers: [relu, layer1]
    dtype: float16
    batch: 8
    store: %s
reconstructors:
  one:
    kind: decoder
    dataset: a
    observes: features
    observation: net/layer1
    arch: light
    width: 4
    linear: false
    mosaic: %s
    loss: {pixel: 1.0, log_mse: 0.0, perceptual: 0.0, total_variation: 0.0}
    training: {epochs: 3, batch: 4, learning_rate: 1e-3, schedule: constant, seeds: [0, 1]}
searches: {}
shared: {folder: {}, features: {}, decoder: {}}
training: {weight_decay: 0.0, patience: null, precision: %s, device: auto, workers: 0, seeds: [0]}
"""
ENCODER = 2 * (16**2 * 7**2 * 3 * 64 + 4 * 8**2 * 3**2 * 64**2)
"""Operations of ResNet-18 as far as layer1, on 32 px."""
WHITENING = 2 * 8**2 * 64**2
"""Those of a decoder's first step, which is not trained."""


def written(folder: Path, store: bool = True, mosaic: float = 0.0, precision: str = "float32") -> Path:
    path = folder / "params.yaml"
    path.write_text(PARAMS % (str(store).lower(), mosaic, precision))
    return path


def test_operations_are_those_of_the_rows_own_networks(tmp_path: Path) -> None:
    stored = work.count(written(tmp_path), timed=False)
    assert stored.features["net"].shapes == {"relu": [64, 16, 16], "layer1": [64, 8, 8]}
    assert stored.features["net"].forward.flops == ENCODER
    own = stored.networks["one"]
    assert own.step.keys() == own.forward.keys() == {"float32"}
    step, forward = (each["float32"].flops - WHITENING for each in own)
    assert 2 <= step / forward < 3  # back takes two of forward, and less for the first layer
    computed = work.count(written(tmp_path, store=False, precision="bfloat16"), timed=False).networks["one"]
    assert computed.step["bfloat16"].flops == own.step["float32"].flops
    assert computed.step["float32"].flops == computed.forward["float32"].flops == ENCODER
    mixed = work.count(written(tmp_path, mosaic=0.5, precision="bfloat16"), timed=True).networks["one"]
    assert mixed.step["float32"].flops == ENCODER / 2
    assert mixed.step["bfloat16"].flops == own.step["float32"].flops
    assert mixed.step["bfloat16"].seconds > 0


def test_amounts_follow_from_shapes_splits_and_epochs(tmp_path: Path) -> None:
    shape = [64, 32, 32]
    network = Network({"float32": Work(30.0, 3.0)}, {"float32": Work(10.0, 1.0)})
    counted = Counted({"net": Features({"relu": shape, "layer1": shape}, Work(7.0, 1.0))}, {"one": network}, {})
    found = list(stages.planned(written(tmp_path), {"a": 1000}, {"a": 5e6}, counted))
    names = [(stage.name, stage.row) for stage in found]
    layers = [("observe", "net/relu"), ("observe", "net/layer1")]
    assert names == [
        *(("fetch", "a"), ("shard", "a"), ("validate", "a"), ("observe", "net")),
        *(*layers, ("train", "one"), ("evaluate", "one")),
    ]
    fetch, shard, _, observe, _, layer, train, evaluate = found
    assert (fetch.download, fetch.written, shard.read) == (0, 5e6, 5e6)  # a folder needs no network
    assert shard.written == pytest.approx(1000 * 32**2 * sharding.PNG)
    assert observe.flops == 7000
    assert layer.written == stored_bytes(shape, "float16", 1000)
    assert train.images == 2 * 3 * (700 + 100)
    assert train.flops == 2 * 3 * (700 * 30 + 100 * 10)
    assert train.read == pytest.approx(train.images * (32**2 * sharding.PNG + stored_bytes(shape, "float16", 1)))
    assert (evaluate.images, evaluate.flops) == (200, 2 * 200 * 10)


RATES = {
    "core": {**dict.fromkeys(("fetch", "cut", "read", "holes", "frames", "score"), 10.0), "source": "s"},
    "machines": {
        name: {
            "title": name,
            "cores": 4,
            "gpus": gpus,
            "flops": {"float32": 100.0, "bfloat16": 400.0},
            "basis": "b",
            "disk": 50.0,
            "network": 5.0,
            "source": "s",
        }
        for name, gpus in {"cpu": 0, "gpu": 2}.items()
    },
}


@pytest.mark.parametrize(
    ("stage", "on_cores", "on_gpus"),
    [
        (Stage("s", "r", works={"float32": Work(3.6e5, 0.0)}, cores={"read": 3.6e4}), (1.25, "cores"), (1, "GPU")),
        (Stage("s", "r", works={"bfloat16": Work(3.6e5, 0.0)}, alone=True), (0.25, "cores"), (0.5, "GPU")),
        (Stage("s", "r", cores={"read": 3.6e5}, readers=1), (2.5, "cores"), (5, "cores")),
        (Stage("s", "r", cores={"read": 3.6e5}, readers=8), (2.5, "cores"), (2.5, "cores")),
        (Stage("s", "r", read=1e5, written=0.8e5), (1, "disk"), (1, "disk")),
        (Stage("s", "r", download=3.6e4), (2, "internet"), (2, "internet")),
    ],
)
def test_what_takes_longest_decides(
    tmp_path: Path, stage: Stage, on_cores: tuple[float, str], on_gpus: tuple[float, str]
) -> None:
    path = tmp_path / "machines.yaml"
    path.write_text(yaml.safe_dump(RATES))
    for name, (hours, limit) in {"cpu": on_cores, "gpu": on_gpus}.items():
        assert Rates.of(name, path).time(stage) == (pytest.approx(hours), limit)


def test_here_rows_take_what_they_were_timed_at() -> None:
    rates = Rates.of("here")
    hours, limit = rates.time(Stage("s", "r", works={"float32": Work(1.0, 3600.0), "bfloat16": Work(1.0, 3600.0)}))
    assert (hours, limit) == (pytest.approx(2 / rates.machine.cores), "cores")


def test_every_machine_says_where_its_rates_are_from() -> None:
    for name in machines.names():
        machine, core, _ = Rates.of(name)
        assert ("measured" in machine.basis or "calculated" in machine.basis) and machine.source and core.source
    with pytest.raises(ParamsError, match="there is no machine `nothing`; there are here, cpu-2, "):
        Rates.of("nothing")
