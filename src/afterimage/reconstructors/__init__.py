"""Reconstructors: what turns observations back into images. Each kind is a package here, found by its name in a row.

A kind is a `Kind`, the attribute `KIND` of its package. Training, evaluation, report, page and command line know this
protocol and no kind. A kind from elsewhere is registered under the entry-point group `afterimage.reconstructors`; its
rows have `kind: external`, see `external`.
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import Field

from afterimage import observations
from afterimage.core import layout, params, shards, zoo
from afterimage.core.errors import ParamsError, WeightsError
from afterimage.core.params import Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from afterimage.core import devices
    from afterimage.core.images import Uint8
    from afterimage.training.loop import Learner
    from afterimage.training.models import Model

    Floats = npt.NDArray[np.float64]

SECTIONS = ("reconstructors", "searches")
"""Sections of params.yaml: rows that are trained, and rows that search each image and are not."""
KINDS = ("autoencoder", "decoder", "external", "inversion", "pix2pix", "pixelrnn", "transfer")


class ReconstructorRow(Row):
    """What the rows of all kinds have in common."""

    kind: str
    dataset: str
    observes: str
    """The kind of observation that it is given: `features`, `holes` or `frames`."""
    observation: str
    """The row of `observations`, or the part of it, that it is trained and measured on: `two-boxes`, `vgg16/relu3_3`.
    DVC makes the row depend on that folder."""
    images: int | None = Field(default=None, gt=0)
    """How many test images are rebuilt, evenly spaced over their sorted keys; null: all."""

    @property
    def together(self) -> int:
        """Images that are rebuilt at once. The last bits of a result depend on it."""
        raise NotImplementedError


class Reconstruction(NamedTuple):
    """What became of an observation."""

    images: "Tensor"
    """`[N, 3, H, W]` in [0, 1], on any device."""
    samples: "Tensor | None" = None
    """`[N, K, 3, H, W]`: K answers an image, where several were drawn; `images` is their mean."""
    values: "Mapping[str, Sequence[float]]" = MappingProxyType({})
    """What the reconstructor tells of each image besides, such as the steps that it took."""


class Reconstructor(Protocol):
    """What every trained, searched or outside model is."""

    def __call__(self, given: Any) -> Reconstruction:
        """Images of an observation of the kind that it observes; any height and width."""
        ...

    def score(self, given: Any, originals: "Uint8", rebuilt: "Uint8") -> "Mapping[str, Floats]":
        """Numbers an image that only this kind can tell, such as the likelihood of the originals; mostly none.

        Args:
            originals: `[N, H, W, 3]`.
            rebuilt: the 8-bit images that it answered with.
        """
        return {}

    def detailed(self, given: Any, filled: "Tensor") -> "Tensor":
        """Detail for an answer to a smaller image that was brought to the size of this observation, `[N, 3, H, W]`;
        mostly there is none to add."""
        return filled

    def forget(self) -> None:
        """Remove what was kept for a restart; called once everything that it answered is written."""
        return


class Kind(Protocol):
    """A kind of reconstructors."""

    observes: str
    Row: type[ReconstructorRow]

    def learner(self, row: Any, stored: Any) -> "Learner | None":
        """What the training loop trains; None: nothing is to be trained.

        Args:
            row: an instance of `Row`.
            stored: the observations of the row, the `Stored` of its kind of observation.
        """
        ...

    def load(self, model: "Model") -> "Mapping[str, Reconstructor]":
        """The reconstructors of a trained row by name: one under an empty name, or several that are measured one by
        one, of which the last is the one to use.

        Raises:
            WeightsError: the model is not whole.
        """
        ...


def kind_of(row: ReconstructorRow | Mapping[str, Any]) -> Kind:
    """The kind of a row.

    Raises:
        ParamsError: there is no such kind.
    """
    values = row.model_dump() if isinstance(row, Row) else row
    name = values.get("kind") if isinstance(values, Mapping) else None
    if name not in KINDS:
        raise ParamsError(f"there is no kind of reconstructor `{name}`; there are {', '.join(KINDS)}")
    package = importlib.import_module(f"{__name__}.{name}")
    return package.kind(values) if hasattr(package, "kind") else package.KIND


class Loaded(NamedTuple):
    """A row of a project, ready for use."""

    row: ReconstructorRow
    card: Mapping[str, Any]
    """What the card of its model says; of a search, what there is of that."""
    folder: Path
    """With the model and what its observations need; of a search, with the observations."""
    reconstructors: "Mapping[str, Reconstructor]"


def load(
    project: Path,
    name: str,
    device: "devices.Name" = "auto",
    state: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Loaded:
    """Load a row: what was trained, or what searches with the row's settings.

    Args:
        project: the folder with params.yaml and data/, and with zoo/.
        name: of a row of params.yaml, or `zoo/NAME`.
        state: a folder where an interrupted search is kept; None keeps nothing.
        changes: to the settings, of a search.
        seed: another of the row's seeds than the first, of what was trained.

    Raises:
        ParamsError: there is no such row, or the settings do not go together.
        WeightsError: the row is not trained here, or not whole.
    """
    from afterimage.core import devices
    from afterimage.training import models

    path = project / "params.yaml"
    chosen = devices.choose(device)
    if zoo.holds(name) or section_of(path, name) == SECTIONS[0]:
        model = models.read(project, name, chosen, seed)
        kind = kind_of(model.settings)
        try:
            typed = params.typed(str(model.folder / models.CARD), model.settings, kind.Row)
        except ParamsError as error:
            mends = "check out its zoo/ with the code" if zoo.holds(name) else "`dvc repro` trains it anew"
            raise WeightsError(f"{error}: the model is of another version; {mends}") from None
        return Loaded(typed, model.card, model.folder, kind.load(model))
    typed = row(path, name)
    kind = kind_of(typed)
    if changes:
        where = f"{path}: `{SECTIONS[1]}.{name}` with {', '.join(f'{key}={value}' for key, value in changes.items())}"
        typed = params.typed(where, {**typed.model_dump(), **changes}, kind.Row)
    if device == "auto":  # the row may say where it searches
        chosen = devices.choose(getattr(typed, "device", device))
    folder = observations.located(typed.observes, project / layout.observation(typed.observation))
    parts = sorted(path.parent for path in folder.rglob("index.json")) or [folder]
    card = models.card(name, typed, [shards.load_index(part) for part in parts])
    return Loaded(typed, card, folder, kind.load(models.Model(folder, card, project, chosen, state)))


def files_of(project: Path, name: str) -> set[Path]:
    """The files that `load` reads of a row: its model, or what a search knows of its observations, what its settings
    name, and the same of the row that it builds on."""
    found = {project / "params.yaml"}
    folders = [project / layout.model(name)]
    if not zoo.holds(name):
        typed = row(project / "params.yaml", name)
        folders.append(observations.located(typed.observes, project / layout.observation(typed.observation)))
        found |= {project / value for value in typed.model_dump().values() if isinstance(value, str)}
        if decoder := getattr(typed, "decoder", None):
            found |= files_of(project, decoder)
    found |= {path for folder in folders for path in folder.rglob("*") if path.suffix not in (".tar", ".npy")}
    return {path for path in found if path.is_file()}


def section_of(path: Path, name: str) -> str:
    """The section that has a row of this name.

    Raises:
        ParamsError: none has; the text lists the rows that there are.
    """
    data = params.load(path)
    for section in SECTIONS:
        if name in (data.get(section) or {}):
            return section
    known = [*(row for section in SECTIONS for row in data.get(section) or {}), *zoo.names(path.parent)]
    raise ParamsError(f"{path}: there is no reconstructor `{name}`; there are {', '.join(known) or 'none'}")


def row(path: Path, name: str) -> ReconstructorRow:
    """A row by its name, of the class of its kind.

    Raises:
        ParamsError: there is no such row, or it is not what its kind expects.
    """
    section = section_of(path, name)
    values = params.values(path, section, name)
    where = f"{path}: `{section}.{name}"
    try:
        kind = kind_of(values)
    except ParamsError as error:
        raise ParamsError(f"{where}.kind`: {error}") from None
    typed = params.row(path, section, name, kind.Row)
    if typed.observes != kind.observes:
        raise ParamsError(f"{where}.observes`: {typed.observes!r}, but `{typed.kind}` observes {kind.observes!r}")
    there = params.load(path).get("observations") or {}
    given = there.get(observations.row_of(typed.observation))
    if not isinstance(given, dict):
        raise ParamsError(f"{where}.observation`: {typed.observation!r} is of none of {', '.join(there) or 'no rows'}")
    for key, own in (("kind", typed.observes), ("dataset", typed.dataset)):
        if (found := given.get(key)) != own:
            raise ParamsError(f"{where}.observation`: the {key} of {typed.observation!r} is {found}, not {own}")
    return typed
