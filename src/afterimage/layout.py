"""Where things lie in a project: the one home of its paths, all relative to the project's root."""

from pathlib import Path


def raw(dataset: str) -> Path:
    """`manifest.csv`, `rejected.csv` and `images.tar` of a data set, as fetched."""
    return Path("data/raw") / dataset


def shards(dataset: str) -> Path:
    """Image shards of a data set, with `index.json` and `samples.csv`."""
    return Path("data/shards") / dataset


def weights(network: str) -> Path:
    """The weights of an encoder, or of the LPIPS trunk, as safetensors."""
    return Path("data/weights") / f"{network}.safetensors"


def features(encoder: str) -> Path:
    """A folder of feature shards for each layer of an encoder."""
    return Path("data/features") / encoder


def holes(row: str) -> Path:
    """The fixed masks of validation and test images, as shards of PNG."""
    return Path("data/observations/holes") / row


def degradations(row: str) -> Path:
    """A folder for each level of a row of `degradations`: shards of degraded frames, and what was drawn for them."""
    return Path("data/observations/degradations") / row


def model(family: str, row: str) -> Path:
    """A trained reconstructor: `model.safetensors`, `card.json`, `curves.csv`."""
    return Path("data/models") / family / row


def reconstructions(family: str, row: str) -> Path:
    """Shards of 8-bit reconstructions of the test split."""
    return Path("data/reconstructions") / family / row


def metrics(family: str, row: str) -> Path:
    """`summary.json`, `intervals.json` and `images.csv` of a row."""
    return Path("metrics") / family / row


def validation(name: str) -> Path:
    """The result of a validation gate."""
    return Path("reports/validation") / f"{name}.json"


def training_state(family: str, row: str) -> Path:
    """Checkpoints and live curves: outside the outputs, because DVC deletes those before a stage runs."""
    return Path(".afterimage/training") / family / row
