"""Model folders: the one place that writes and reads them.

`model.safetensors` has the network, `card.json` what it takes to use it again, `curves.csv` a line an epoch. Beside
them lies what its observations need (the encoder whose features it reads), and what the learner leaves.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from afterimage.core import layout, outputs, weights
from afterimage.core.errors import WeightsError
from afterimage.core.shards import Index
from afterimage.training import loop

if TYPE_CHECKING:
    from afterimage.observations import Stored
    from afterimage.reconstructors import ReconstructorRow

CARD, MODEL, CURVES = "card.json", "model.safetensors", "curves.csv"


@dataclass(frozen=True)
class Model:
    """What a kind loads its reconstructors from.

    Attributes:
        folder: with the model; of a search, with the observations.
        card: what `card.json` says; of a search, what there is of that.
        project: the folder with params.yaml and data/, for rows that build on other rows.
        state: a folder outside the outputs where an interrupted search is kept; None keeps nothing.
    """

    folder: Path
    card: Mapping[str, Any]
    project: Path = Path()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    state: Path | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The row that was trained, with what it shares."""
        return self.card["settings"]

    @property
    def given(self) -> Sequence[Mapping[str, Any]]:
        """The index of each part of the observation, without the shards."""
        return self.card["given"]

    def fill(self, network: nn.Module) -> nn.Module:
        """The trained network, ready for use on the device; `network` is one of its shape.

        Raises:
            WeightsError: the file is missing or damaged, or of another network.
        """
        path = self.folder / MODEL
        weights.fit(network, weights.load(path)[1], str(path))
        return network.eval().to(self.device)


def train(
    name: str, row: "ReconstructorRow", learner: loop.Learner | None, stored: "Stored", out: Path, state: Path
) -> None:
    """Train a row and write its model folder. A row with nothing to train leaves the card alone.

    Args:
        state: a folder outside the outputs where training keeps what a restart needs.
    """
    files: dict[str, bytes] = {}
    about: dict[str, Any] = {"parameters": 0, "epochs": 0, "words": row.kind}
    curves: loop.Curves = []
    if learner is not None:
        training: loop.TrainingRow = row.training  # type: ignore[attr-defined]  # rows that learn have it
        identity = {"name": name, "row": row.model_dump(), "given": list(stored.indices)}
        curves = loop.fit(learner, training, state, identity)
        parameters = sum(parameter.numel() for parameter in learner.model.parameters())
        about = {"parameters": parameters, "epochs": len(curves), "words": learner.words, **learner.about}
        files = dict(learner.files())
    with outputs.folder(out) as folder:
        if learner is not None:
            weights.save(folder / MODEL, learner.model.state_dict(), {"row": name})
            columns = list(curves[0])
            lines = ([f"{epoch[column]:.6g}" for column in columns] for epoch in curves)
            outputs.write_csv(folder / CURVES, columns, lines)
        outputs.write_json(folder / CARD, {**card(name, row, stored.indices), **about})
        for path in stored.carried:
            shutil.copyfile(path, folder / path.name)
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
    (state / loop.CHECKPOINT).unlink(missing_ok=True)


def card(name: str, row: "ReconstructorRow", indices: Sequence[Index]) -> dict[str, Any]:
    """What every card says."""
    given = [{key: value for key, value in index.items() if key != "splits"} for index in indices]
    return {
        "row": name,
        "kind": row.kind,
        "observes": row.observes,
        "observation": row.observation,
        "dataset": row.dataset,
        "size": given[0]["size"],
        "settings": row.model_dump(),
        "given": given,
    }


def read(project: Path, row: str, device: torch.device) -> Model:
    """The model folder of a trained row.

    Raises:
        WeightsError: it is not there or not whole.
    """
    folder = project / layout.model(row)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{folder}: no trained model; `dvc repro` trains it, `dvc pull` fetches it") from None
    except ValueError as error:
        raise WeightsError(f"{folder / CARD}: damaged: {error}") from None
    if not isinstance(card, dict) or not {"row", "kind", "settings", "given"} <= card.keys():
        raise WeightsError(f"{folder / CARD}: not the card of a model; `dvc repro` trains it anew")
    return Model(folder, card, project, device)
