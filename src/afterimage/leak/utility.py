"""What features are good for: how well a linear probe reads a label from them (Alain and Bengio, "Understanding
intermediate layers using linear classifier probes", 2016)."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from afterimage.core.errors import ParamsError
from afterimage.core.parsing import from_csv
from afterimage.evaluation.metrics import Floats

FOLDS = 5
STEPS = 500


class Labels(NamedTuple):
    """Labels of some photographs: those that another one shares."""

    places: list[int]
    """Of the photographs that have one."""
    labels: list[str]
    folds: int

    @property
    def majority(self) -> float:
        """How often the commonest label is right."""
        return max(Counter(self.labels).values()) / len(self.labels)


def of(labels: Sequence[str]) -> Labels | None:
    """What a probe can be trained and tested on; None where fewer than two labels are on two photographs or more.

    Args:
        labels: one a photograph; empty for none.
    """
    counts = Counter(label for label in labels if label)
    kept = {label: count for label, count in counts.items() if count > 1}
    if len(kept) < 2:
        return None
    places = [place for place, label in enumerate(labels) if label in kept]
    return Labels(places, [labels[place] for place in places], min(FOLDS, *kept.values()))


def read(path: Path, keys: Sequence[str]) -> list[str]:
    """The labels of a CSV with the columns `path` and `label`; empty for a photograph that it does not name.

    Args:
        keys: of the photographs, the paths without extension.

    Raises:
        ParamsError: it is no such table, or names something else.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(from_csv(stream, str(path), ParamsError, ("path", "label")))
    found: dict[str, str] = {}
    for line in lines:
        key = str(Path(line["path"]).with_suffix(""))
        if key in found:
            raise ParamsError(f"{path}: {line['path']} is listed twice")
        found[key] = line["label"]
    if not set(found) & set(keys):
        raise ParamsError(f"{path}: names none of the photographs, such as {keys[0]}")
    return [found.get(key, "") for key in keys]


def probed(features: npt.NDArray[Any], labels: Labels, seed: int) -> Floats:
    """Whether the label of each photograph is read rightly, 1 or 0, by a probe that did not see it.

    Logistic regression on standardised features, in stratified folds by photograph.

    Args:
        features: `[N, D]`, of all photographs.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=STEPS))
    folds = StratifiedKFold(labels.folds, shuffle=True, random_state=seed)
    truth = np.asarray(labels.labels)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")  # people with two photographs each
        said = cross_val_predict(probe, features[labels.places].astype(np.float64), truth, cv=folds)
    return np.asarray(said == truth, dtype=np.float64)
