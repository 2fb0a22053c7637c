"""Projects whose measurements are written by hand, so that tests of report and tables know every number."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pictures import png

from afterimage.core import layout, outputs, shards
from afterimage.evaluation.metrics import bootstrap

SIZE = 16
KEYS = [f"{group}_y{number:04d}" for group in ("cup", "tea") for number in range(3)]
SPLITS = ("train", "val", "test")


def params(**sections: Mapping[str, Any]) -> dict[str, Any]:
    """A params.yaml of two data sets, with these sections, written into the working directory."""
    photos = {"source": "folder", "path": "pictures", "size": SIZE, "tile": SIZE}
    data: dict[str, Any] = {
        "datasets": {"photos": photos},
        "encoders": {"lpips": {"arch": "alexnet", "weights": "random", "sha256": None, "seed": 0}},
        "observations": {},
        "reconstructors": {},
        "searches": {},
        "shared": {},
        "baselines": {},
        "metrics": {"seed": 0, "bootstrap": 50},
        "report": {"images": 2},
        "compute": {"portable": True, "threads": 1},
        **sections,
    }
    Path("params.yaml").write_text(json.dumps(data), encoding="utf-8")  # JSON is YAML, and keeps the order of rows
    return data


def dataset(name: str = "photos", keys: Sequence[str] = KEYS, seed: int = 0) -> None:
    """The shards of a data set, with the tables beside them, and its gate."""
    folder = layout.shards(name)
    images(folder, keys, seed)
    columns = ["key", "split", "shard", "image", "group"]
    lines = [(key, split, "test-000000.tar", split + key, key.split("_")[0]) for split in SPLITS for key in keys]
    outputs.write_csv(folder / "samples.csv", columns, lines)
    (folder / "rejected.csv").write_text("origin,kind,reason\n", encoding="utf-8")
    split = {"samples": 6, "shards": 1, "groups": 2, "images": 6, "distinct_samples": 6}
    counts = {"files": 8, "rejected": 2, "images": 6, "splits": dict.fromkeys(SPLITS, split)}
    outputs.write_json(layout.validation(name), gate(name, "no split is empty", **counts))


def gates(observation: str, shapes: Sequence[Sequence[int]] = ()) -> None:
    """The gates of an observation: one for each layer's shape, or one for all."""
    values = {"samples": 6, "distinct": 6, "lowest": 0.0, "highest": 2.5}
    counts = [{"shape": shape, "dtype": "float16", "splits": dict.fromkeys(SPLITS, values)} for shape in shapes]
    found = [gate(observation, "every value is finite", **each) for each in counts or [{}]]
    outputs.write_json(layout.observation(observation) / layout.GATES, {"gates": found})


def gate(name: str, sentence: str, **counts: Any) -> dict[str, Any]:
    check = {"check": sentence, "table": "samples", "observed": "36 of 36", "passed": True, "examples": []}
    return {"name": name, "passed": True, "checks": [check], "counts": counts}


def images(folder: Path, keys: Sequence[str] = KEYS, seed: int = 0, samples: int = 0) -> None:
    """Shards of images, each followed by so many samples."""
    with outputs.folder(folder) as partial:
        path = partial / "test-000000.tar"
        with shards.writer(path) as put:
            for number, key in enumerate(keys):
                put(f"{key}.png", png(SIZE, SIZE, 100 * seed + number))
                for sample in range(samples):
                    put(f"{key}.sample{sample}.png", png(SIZE, SIZE, 1000 * seed + 10 * number + sample))
        about = {"dataset": "photos", "size": SIZE}
        shards.write_index(partial, about, {split: [shards.describe(path)] for split in SPLITS})


def result(
    kind: str,
    row: str,
    case: str,
    psnr: float,
    keys: Sequence[str] = KEYS,
    samples: int = 0,
    **more: float,
) -> None:
    """What `evaluate` leaves of a case: metrics around these means, and reconstructions."""
    step = np.linspace(-0.5, 0.5, len(keys))
    columns = {name: value * (1 + 0.01 * step) for name, value in {"ssim": psnr / 100, **more}.items()}
    columns = {"psnr": psnr + step, **columns}
    groups = [key.split("_")[0] for key in keys]
    metrics = {name: bootstrap(values, groups, 50, 0)._asdict() for name, values in columns.items()}
    folder = layout.measured(row) / case
    outputs.write_json(folder / "intervals.json", {"images": len(keys), "metrics": metrics})
    lines = zip(keys, keys, groups, *columns.values(), strict=True)
    outputs.write_csv(folder / "images.csv", ["key", "image", "group", *columns], lines)
    outputs.write_json(
        layout.metrics(kind, row) / f"{case}.json", {name: each["mean"] for name, each in metrics.items()}
    )
    images(layout.reconstructions(row) / case, keys, len(case), samples)


def model(row: str, curves: Mapping[str, Sequence[float]] | None = None, **card: Any) -> None:
    """What `train` leaves of a row, without the network."""
    about = {"row": row, "words": "a network", "parameters": 1_234_000, "given": [], **card}
    outputs.write_json(layout.model(row) / "card.json", about)
    found = {"train_mse": [0.2, 0.1], "val_psnr": [20.0, 22.0], **(curves or {})}
    lines = zip((1, 2), *found.values(), strict=True)
    outputs.write_csv(layout.model(row) / "curves.csv", ["epoch", *found], lines)


def outside(observes: str, observation: str, **keys: Any) -> dict[str, Any]:
    """A row of a kind that this project does not know."""
    entry = {"kind": "external", "entry": "elsewhere:Toy", "strength": {"of": 3}, "dataset": "photos"}
    return {**entry, "observes": observes, "observation": observation, **keys}
