"""Model folders: the one place that writes and reads them.

`model.safetensors` has the network, `card.json` what it takes to use it again, `curves.csv` a line an epoch. Beside
them lies what its observations need (the encoder whose features it reads), and what the learner leaves. Where a row
has several seeds, that is of the first, and `seeds/<seed>/` holds the same of each other.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from afterimage.core import layout, outputs, weights, zoo
from afterimage.core.errors import WeightsError
from afterimage.core.parsing import from_json
from afterimage.core.shards import Index
from afterimage.training import loop
from afterimage.training.processes import team

if TYPE_CHECKING:
    from afterimage.observations import Stored
    from afterimage.reconstructors import ReconstructorRow

CARD, MODEL, CURVES = "card.json", "model.safetensors", "curves.csv"
SEEDS = "seeds"

Learns = Callable[["ReconstructorRow", "Stored"], loop.Learner | None]
"""From a row and its observations to what the loop trains: `Kind.learner`."""


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
    name: str,
    row: "ReconstructorRow",
    learns: Learns,
    stored: "Stored",
    out: Path,
    state: Path,
) -> None:
    """Train a row, once a seed, and write its model folder. A row with nothing to train leaves the card alone.

    Args:
        learns: the learner of a row, as its kind has it; called for each seed.
        state: a folder outside the outputs where training keeps what a restart needs.
    """
    seeds = seeds_of(row)
    trained = {
        folder: _trained(name, _seeded(row, chosen), learns, stored, state / folder)
        for folder, chosen in _folders(seeds)
    }
    if not team.first:
        return
    with outputs.folder(out) as top:
        for folder, each in trained.items():
            _write(top / folder, name, each)
        for path in stored.carried:
            shutil.copyfile(path, top / path.name)
    for checkpoint in state.rglob(loop.CHECKPOINT):
        checkpoint.unlink()


def seeds_of(row: "ReconstructorRow") -> list[int]:
    """The seeds that a row is trained with; none of a row with nothing to train."""
    training = getattr(row, "training", None)
    return list(training.seeds) if isinstance(training, loop.TrainingRow) else []


def _folders(seeds: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Each folder of a model's, and the seeds of what is trained for it; the row's own comes first, and knows all."""
    return [("", list(seeds)), *((seed_folder(seed), [seed]) for seed in seeds[1:])]


def seed_folder(seed: int) -> str:
    """Where the model of another seed than a row's first lies in the row's folder."""
    return f"{SEEDS}/{seed}"


class _Trained(NamedTuple):
    """What there is to write of a training."""

    card: dict[str, Any]
    network: Mapping[str, torch.Tensor] = {}
    curves: Sequence[Mapping[str, float]] = ()
    files: Mapping[str, bytes] = {}


def _seeded(row: "ReconstructorRow", seeds: Sequence[int]) -> "ReconstructorRow":
    if not seeds:
        return row
    training: loop.TrainingRow = row.training  # type: ignore[attr-defined]  # rows that learn have it
    return row.model_copy(update={"training": training.model_copy(update={"seeds": list(seeds)})})


def _trained(name: str, row: "ReconstructorRow", learns: Learns, stored: "Stored", state: Path) -> _Trained:
    """Train a row with its first seed."""
    learner = learns(row, stored)
    if learner is None:
        return _Trained({**card(name, row, stored.indices), "parameters": 0, "epochs": 0, "words": row.kind})
    training: loop.TrainingRow = row.training  # type: ignore[attr-defined]
    identity = {"name": name, "row": row.model_dump(), "given": list(stored.indices)}
    curves = loop.fit(learner, training, state, identity)
    about = {
        "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
        "epochs": len(curves),
        "words": f"{learner.words}, {len(training.seeds)} seeds" if len(training.seeds) > 1 else learner.words,
        **learner.about,
    }
    whole = {**card(name, row, stored.indices), **about}
    return _Trained(whole, learner.model.state_dict(), curves, learner.files())


def _write(folder: Path, name: str, trained: _Trained) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    outputs.write_json(folder / CARD, trained.card)
    if trained.network:
        weights.save(folder / MODEL, trained.network, {"row": name})
        columns = list(trained.curves[0])
        lines = ([f"{epoch[column]:.6g}" for column in columns] for epoch in trained.curves)
        outputs.write_csv(folder / CURVES, columns, lines)
    for file, data in trained.files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)


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


def read(project: Path, row: str, device: torch.device, seed: int | None = None) -> Model:
    """The model folder of a trained row, or of one of the zoo, whose files have to be those that its card names.

    Args:
        seed: another of the row's seeds than the first.

    Raises:
        ParamsError: the zoo has no such row.
        WeightsError: it is not there or not whole.
    """
    if zoo.holds(row):
        card = zoo.card(project, row)
        zoo.check(project / layout.model(row), card["sha256"])
        return Model(project / layout.model(row), card, project, device)
    folder = project / layout.model(row) / ("" if seed is None else seed_folder(seed))
    try:
        card = from_json((folder / CARD).read_bytes(), str(folder / CARD), WeightsError)
    except FileNotFoundError:
        raise WeightsError(f"{folder}: no trained model; `dvc repro` trains it, `dvc pull` fetches it") from None
    if not {"row", "kind", "settings", "given"} <= card.keys():
        raise WeightsError(f"{folder / CARD}: not the card of a model; `dvc repro` trains it anew")
    return Model(folder, card, project, device)
