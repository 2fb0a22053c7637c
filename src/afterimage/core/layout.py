"""Where things lie in a project: the one home of its paths, all relative to the project's root."""

from pathlib import Path


def raw(dataset: str) -> Path:
    """`manifest.csv`, `rejected.csv` and `images.tar` of a data set, as fetched."""
    return Path("data/raw") / dataset


def shards(dataset: str) -> Path:
    """Image shards of a data set, with `index.json` and `samples.csv`."""
    return Path("data/shards") / dataset


def weights(encoder: str) -> Path:
    """The weights of an encoder as safetensors. The encoder `lpips` is the trunk under LPIPS."""
    return Path("data/weights") / f"{encoder}.safetensors"


def observation(name: str) -> Path:
    """What is left of the images: the folder of a row of `observations`, or of a part of it such as `vgg16/relu1_2`."""
    return Path("data/observations") / name


ZOO = "zoo/"
"""What names of rows begin with that lie in Git, trained, with their cards: see `core.zoo`."""


def model(row: str) -> Path:
    """A trained reconstructor: `model.safetensors`, `card.json`, `curves.csv`, and what its observations need.

    A row of the zoo lies where its name says.
    """
    return Path(row) if row.startswith(ZOO) else Path("data/models") / row


def reconstructions(row: str) -> Path:
    """A folder of shards with 8-bit reconstructions for each case of a row, or of an observation's baselines."""
    return Path("data/reconstructions") / row


def metrics(kind: str, row: str) -> Path:
    """The means of a row, or of an observation's baselines, a JSON file a case: what `dvc metrics` prints.

    Args:
        kind: of observation: `features`, `holes` or `frames`.
    """
    return Path("metrics") / kind / row


def measured(row: str) -> Path:
    """What was measured of a row: for each case a folder with `images.csv`, a line an image, and `intervals.json`."""
    return Path("reports/measured") / row


def validation(dataset: str) -> Path:
    """The result of the gate of a data set."""
    return Path("reports/validation") / f"{dataset}.json"


GATES = "gates.json"
"""The results of an observation's gates, in its folder."""


def training_state(row: str) -> Path:
    """Checkpoints and live curves: outside the outputs, because DVC deletes those before a stage runs."""
    return Path(".afterimage/training") / row
