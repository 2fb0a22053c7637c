"""Feature extraction against the bare network: `python -m benchmarks extract`.

Ours: images a second from image shards on disk to feature shards on disk, all layers of the rows `vgg16` and
`resnet50`, as they are and in 8 bits. The limit: the same truncated network on the same images, already decoded,
normalised, channels last and in batches of the same size, whose features are dropped. Nothing can be faster without
changing the network.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from afterimage.core import images, shards
from afterimage.observations.features import writing
from afterimage.observations.features.encoders import Encoder
from afterimage.observations.features.row import Row
from benchmarks.measuring import Line, in_turn, make_encoder, make_photos, ratio

ROUNDS = 5
TARGETS = {"float16": 0.92, "uint8": 0.85}
BECAUSE = "decoding PNG, SHA-256 and the copy into the page cache are CPU work of their own"


def measure(work: Path) -> Iterator[Line]:
    """A line an observation; `work` is an empty folder."""
    shards_dir = make_photos(work)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("vgg16", "resnet50"):
        row, encoder = make_encoder(name)
        encoder.to(device)
        batches = list(normalised(encoder, shards_dir, row.batch, device))

        def bare(encoder: Encoder = encoder, batches: list[torch.Tensor] = batches) -> None:
            with torch.inference_mode():
                for batch in batches:
                    encoder.body(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()

        for dtype, target in TARGETS.items():
            stored = row.model_copy(update={"dtype": dtype})

            def from_shards(encoder: Encoder = encoder, row: Row = stored, name: str = name) -> None:
                (work / name).mkdir(exist_ok=True)
                writing.extract(encoder, row, name, {}, shards_dir, work / name)

            pairs = in_turn(bare, from_shards, ROUNDS)
            count = sum(len(batch) for batch in batches)
            rates = [count / min(side) for side in zip(*pairs, strict=True)]
            note = f"at best {rates[1]:.0f} of {rates[0]:.0f} images/s"
            what = f"extract {name}, {dtype}"
            yield Line(what, "bare forward pass", ratio(pairs), "of its images/s", target, False, note, BECAUSE)


def normalised(encoder: Encoder, shards_dir: Path, size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Batches `[N, 3, H, W]` as the network itself takes them."""
    for split in shards.SPLITS:
        pixels = [images.decode(data) for _, data, _ in shards.read(shards_dir, split)]
        for start in range(0, len(pixels), size):
            batch = torch.stack([images.to_tensor(image) for image in pixels[start : start + size]]).to(device)
            yield ((batch - encoder.mean) / encoder.std).contiguous(memory_format=torch.channels_last)
