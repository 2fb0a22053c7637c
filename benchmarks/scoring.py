"""Metrics: evaluation against the bare functions, and those against torchmetrics: `python -m benchmarks scoring`.

Evaluation is `evaluating.measure_folder` on a folder of reconstructions: reading both shards, all metrics, bootstrap
and tables. Its limit is MSE, PSNR, SSIM and LPIPS on arrays in memory. SSIM and LPIPS stand beside torchmetrics on the
same images, where that is installed (it is no package of this project); LPIPS with random weights on both sides.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from afterimage.core import images, params, shards, stage, weights
from afterimage.evaluation import evaluating, features
from afterimage.evaluation.alexnet import AlexNetDistance
from afterimage.evaluation.metrics import Lpips, MetricsRow, ssim
from benchmarks.measuring import Line, in_turn, make_photos, ratio

ROUNDS = 5
READING = "PNGs of both sides are decoded, and the bootstrap draws as often as `metrics.bootstrap` says"


def measure(work: Path) -> Iterator[Line]:
    """Three lines; `work` is an empty folder."""
    torch.manual_seed(0)
    weights.save(
        work / "lpips.safetensors", AlexNetDistance().trunk.state_dict(), {"arch": "alexnet", "origin": "random"}
    )
    lpips = Lpips(work / "lpips.safetensors")
    shards_dir = make_photos(work / "photos")
    row = params.table(stage.PARAMS, "metrics", MetricsRow)
    places = evaluating.Places(work / "rebuilt", work / "measured", work / "metrics.json")
    for folder in places[:2]:
        folder.mkdir()
    truth = np.stack([np.asarray(images.decode(data)) for _, data, _ in shards.read(shards_dir, "test")])
    random = np.random.default_rng(0)
    found = np.clip(truth + random.normal(0, 8, truth.shape), 0, 255).round().astype(np.uint8)
    with shards.writer(places.reconstructions / "test-000000.tar") as put:
        for (key, _, _), image in zip(shards.read(shards_dir, "test"), found, strict=True):
            put(f"{key}.png", images.encode_png(image))
    index = shards.load_index(shards_dir)
    about = {"dataset": "photos", "size": index["size"]}
    shards.write_index(places.reconstructions, about, {"test": [put.described()]})
    stored: Any = SimpleNamespace(shards_dir=shards_dir, size=index["size"], indices=[about])

    def ours() -> None:
        evaluating.measure_folder(places, stored, features, row, lpips)

    batches = range(0, len(truth), evaluating.BATCH)

    def bare() -> None:
        for start in batches:
            evaluating.measure(truth[start : start + evaluating.BATCH], found[start : start + evaluating.BATCH], lpips)

    pairs = in_turn(bare, ours, ROUNDS)
    note = f"{len(truth)} images"
    yield Line("evaluation", "the metrics alone", ratio(pairs), "of their speed", 0.9, False, note, READING)
    yield from peers(truth, found, lpips)


def peers(truth: images.Uint8, found: images.Uint8, lpips: Lpips) -> Iterator[Line]:
    if importlib.util.find_spec("torchmetrics") is None:
        for name in ("SSIM", "LPIPS"):
            yield Line(name, "torchmetrics", None, "of its speed", 1.0, False, "torchmetrics is not installed")
        return
    from torchmetrics.functional.image import structural_similarity_index_measure
    from torchmetrics.functional.image.lpips import _LPIPS

    first, second = images.to_tensor(truth), images.to_tensor(found)

    def theirs() -> torch.Tensor:
        with torch.inference_mode():
            return structural_similarity_index_measure(
                first, second, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none"
            )

    apart = float(np.abs(np.asarray(theirs()) - ssim(truth, found)).max())
    pairs = in_turn(theirs, lambda: ssim(truth, found), ROUNDS)
    note = f"{len(truth)} images; differs by {apart:.1g} at most"
    yield Line("SSIM", "torchmetrics", ratio(pairs), "of its speed", 1.0, False, note)
    network = _LPIPS(pretrained=False, net="alex", pnet_rand=True).eval()

    def distances() -> torch.Tensor:
        with torch.inference_mode():
            return network(first * 2 - 1, second * 2 - 1)

    pairs = in_turn(distances, lambda: lpips(truth, found), ROUNDS)
    yield Line("LPIPS", "torchmetrics", ratio(pairs), "of its speed", 1.0, False, f"{len(truth)} images")
