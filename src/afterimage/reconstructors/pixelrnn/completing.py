"""Completing the test images of a row, and measuring what only completions have: bits, coverage, spread."""

from pathlib import Path

import numpy as np
import torch

from afterimage import devices, engine, evaluation, images, outputs, shards
from afterimage.images import Uint8
from afterimage.observations.holes import HoledImages, HolesRow
from afterimage.reconstructors.pixelrnn import completer, likelihoods
from afterimage.reconstructors.pixelrnn.cached import Sampler
from afterimage.reconstructors.pixelrnn.completer import CompleterRow, bits
from afterimage.reconstructors.pixelrnn.network import PixelRnn
from afterimage.reconstructors.pixelrnn.sampling import Floats, noise

HISTOGRAM_WEIGHT = 32
"""Training images that the histogram of all pixels weighs as much as, where a pixel's own has seen too few."""


class Histogram:
    """The baseline of bits/dim: how often each level came at each place of the training images."""

    def __init__(self, shards_dir: Path):
        size = shards.load_index(shards_dir)["size"]
        counts = np.zeros((size * size * 3, likelihoods.LEVELS))
        number = 0
        places = np.arange(len(counts))
        for _, data, _ in shards.read(shards_dir, "train"):
            counts[places, np.asarray(images.decode(data)).ravel()] += 1
            number += 1
        everywhere = (counts.sum(0) + 1) / (counts.sum() + likelihoods.LEVELS)
        self.table = -np.log2((counts + HISTOGRAM_WEIGHT * everywhere) / (number + HISTOGRAM_WEIGHT))

    def __call__(self, image: Uint8) -> Floats:
        """Bits of each channel of an image `[H, W, 3]`."""
        return self.table[np.arange(len(self.table)), image.ravel()].reshape(image.shape)


def complete(model_dir: Path, row: CompleterRow, holes: HolesRow, shards_dir: Path, stored: Path, out: Path) -> None:
    """Complete the test images: their mean completions as shards, with each completion as a part `sample<number>`.

    Beside them lies values.csv with what only this family measures, a line an image: `bits` a channel of the hole and
    `bits_whole` with all of the image missing, the same of the histogram (`histogram_bits`, `histogram_bits_whole`),
    `coverage`, the share of the hole's channels whose truth lies within the range of the completions, and `spread`,
    the root of their mean variance in the hole.
    """
    network, card = completer.load(model_dir)
    index = shards.load_index(shards_dir)
    holed = HoledImages(shards_dir, "test", holes, stored)
    histogram = Histogram(shards_dir)
    values: list[list[str]] = []
    bits_of = _bits(network, holed, row)
    sampler = Sampler(network)
    with outputs.folder(out) as folder:
        path = folder / "test-000000.tar"
        with shards.writer(path) as put:
            for position, key in engine.progress(enumerate(holed.keys), f"complete {card['row']}", len(holed), "image"):
                image = holed.pixels(position)
                mask = holed.mask(position, 0, *image.shape[:2])
                draws = noise(row.training.seed, [f"{key}/{number}" for number in range(row.samples)], mask.shape)
                found = sampler(image[None], mask[None], draws, row.temperature)
                put(f"{key}.png", images.encode_png(mean(found)))
                for number, completion in enumerate(found):
                    put(f"{key}.sample{number}.png", images.encode_png(completion))
                said = histogram(image)
                truth, drawn = image[mask], found[:, mask]
                covered = (drawn.min(0) <= truth) & (truth <= drawn.max(0))
                numbers = (
                    *bits_of[key],
                    said[mask].mean(),
                    said.mean(),
                    covered.mean(),
                    np.sqrt((drawn / 255).var(0).mean()),
                )
                values.append([key, *(f"{number:.6g}" for number in numbers)])
        about = {"family": completer.FAMILY, "row": card["row"], "dataset": index["dataset"], "size": index["size"]}
        shards.write_index(folder, about, {"test": [shards.describe(path)]})
        columns = ("bits", "bits_whole", "histogram_bits", "histogram_bits_whole", "coverage", "spread")
        outputs.write_csv(folder / evaluation.VALUES, ("key", *columns), values)


def mean(completions: Uint8) -> Uint8:
    """The mean of completions `[K, H, W, 3]`, rounded to the nearest level."""
    return np.rint(completions.mean(0)).astype(np.uint8)


def _bits(network: PixelRnn, holed: HoledImages, row: CompleterRow) -> dict[str, tuple[float, float]]:
    """Bits of the hole and of the whole image, by key."""
    device = devices.choose(row.training.device)
    network.to(device)
    found: dict[str, tuple[float, float]] = {}
    with torch.inference_mode():
        for start in range(0, len(holed), row.training.batch):
            places = range(start, min(start + row.training.batch, len(holed)))
            batch = {name: tensor.to(device) for name, tensor in holed.__getitems__([(0, at) for at in places]).items()}
            masks = batch["masks"]
            pair = [bits(network, batch["images"], missing).tolist() for missing in (masks, torch.ones_like(masks))]
            found |= zip((holed.keys[at] for at in places), zip(*pair, strict=True), strict=True)
    return found
