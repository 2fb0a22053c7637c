"""The folder that becomes a repository of the hub: a project with a zoo of one row, which has a card and pictures.

README.md         the hub's model card: metrics, licence and tags in front, then the row's card in words
zoo/<name>/       the row as in any zoo: model.safetensors, card.json, README.md, what its observations need
pictures/         what the row makes of photographs
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from afterimage import apply
from afterimage.core import layout, outputs, zoo
from afterimage.core.errors import AfterimageError, WeightsError
from afterimage.core.images import Uint8
from afterimage.core.parsing import parsing
from afterimage.evaluation.results import METRICS
from afterimage.export import hub
from afterimage.export.pictures import photographs
from afterimage.observations.frames import CARE, cctv
from afterimage.observations.frames.filters import fitted
from afterimage.observations.frames.row import Steps
from afterimage.training import models

SHOWN = 256
"""Shorter side in px of the photographs in the pictures."""
GAP = 8
"""Px of white between the images of a picture."""
PICTURES = "pictures"
TASK = "image-to-image"
TAGS = {
    "features": ["feature-inversion"],
    "holes": ["image-inpainting"],
    "frames": ["image-restoration"],
}
"""By the kind of observation."""
GIVEN = {
    "features": "the photograph whose features are given",
    "holes": "the photograph with a box missing",
    "frames": "the photograph as a bad camera sees it",
}
COMMANDS = {"features": "reconstruct", "holes": "inpaint", "frames": "restore"}
Values = dict[str, Any]


def write(project: Path, row: str, repository: str, out: Path, licence: str | None) -> None:
    """Write the folder of a trained row.

    Args:
        row: of params.yaml, or `zoo/NAME`.
        repository: its name on the hub, for the card.
        licence: of the weights of a row of params.yaml, as the hub names it; a row of the zoo has its own.

    Raises:
        ParamsError: there is no such row.
        WeightsError: it is not trained here, or its files are damaged.
        AfterimageError: its licence is not told.
    """
    row = zoo.parted(row)[0]
    applied = apply.load(project, row, "cpu")
    if (kind := applied.card["kind"]) not in hub.TRUSTED:
        raise AfterimageError(f"{row}: rows of the kind {kind} have no weights of their own to publish")
    name = row.removeprefix(layout.ZOO)
    with outputs.folder(out) as top:
        if zoo.holds(row):
            card, text = _of_the_zoo(project, row)
        else:
            card, text = _of_the_project(project, row, licence)
        _copied(project / layout.model(row), top / layout.model(f"{layout.ZOO}{name}"), card, text)
        credits = dict(_pictures(applied, top / PICTURES))
        (top / zoo.README).write_text(_readme(name, repository, card, text, credits, licence), encoding="utf-8")


def _of_the_zoo(project: Path, row: str) -> tuple[Values, str]:
    path = project / layout.model(row) / zoo.README
    with parsing(WeightsError, f"{path}: not text"):
        return zoo.card(project, row), path.read_text(encoding="utf-8")


def _of_the_project(project: Path, row: str, licence: str | None) -> tuple[Values, str]:
    """The card of a trained row as one of a zoo says it, and in words."""
    from afterimage.review import cards, quoting

    if licence is None:
        raise AfterimageError(f"{row}: say by --licence under which its weights are published, such as apache-2.0")
    with contextlib.chdir(project):
        found = cards.card(row)
    results: list[Values] = [
        {
            "row": row,
            "case": case,
            "dataset": found.dataset,
            "images": each.images,
            "metrics": {metric: each.metrics[metric]._asdict() for metric in each.headline},
        }
        for case, each in found.cases.items()
    ]
    numbers = [_said(case, metric, value) for case in results[-1:] for metric, value in case["metrics"].items()]
    about = {"title": f"Trained on {found.dataset}, observes {found.observation}", "licence": licence}
    folder = project / layout.model(row)
    card = json.loads((folder / models.CARD).read_bytes())
    return {**card, "about": about, "headline": "; ".join(numbers), "results": cards.plain(results)}, quoting.markdown(
        found
    )


def _said(case: Values, metric: str, value: Mapping[str, float]) -> str:
    return f"{METRICS[metric].heading} {value['mean']:.{METRICS[metric].digits}f} ({case['case']})"


def _copied(model: Path, folder: Path, card: Values, text: str) -> None:
    """A row's files, and a card that has the hash of each."""
    folder.mkdir(parents=True)
    files = card.get("sha256") or [path.name for path in model.iterdir() if path.is_file() and path.name != zoo.CARD]
    for name in files:
        shutil.copyfile(model / name, folder / name)
    outputs.write_json(folder / zoo.CARD, {**card, "sha256": {name: outputs.sha256(folder / name) for name in files}})
    (folder / zoo.README).write_text(text, encoding="utf-8")


# Pictures


def _pictures(applied: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Write a picture for each photograph: what is given, the answer, the original; names and credits."""
    folder.mkdir()
    for name, (pixels, credit) in photographs().items():
        scale = SHOWN / min(pixels.shape[:2])
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        photograph = np.asarray(Image.fromarray(pixels).resize(size))
        given, answer = _before_and_after(applied, photograph)
        white = np.full((len(photograph), GAP, 3), 255, np.uint8)
        strip = np.concatenate([given, white, answer, white, photograph], axis=1)
        Image.fromarray(strip).save(folder / f"{name}.jpg", quality=90)
        yield f"{name}.jpg", credit


def _before_and_after(applied: Any, photograph: Uint8) -> tuple[Uint8, Uint8]:
    height, width = photograph.shape[:2]
    if applied.kind == "features":
        return photograph, np.asarray(applied(Image.fromarray(photograph)))
    if applied.kind == "holes":
        mask = np.zeros((height, width), bool)
        mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
        holed = np.where(mask[..., None], 0, photograph).astype(np.uint8)
        return holed, np.asarray(applied(Image.fromarray(holed), mask).image)
    levels = [each for each in applied.card["given"] if each.get("steps")]
    level: Values = levels[(len(levels) - 1) // 2] if levels else {"steps": [], "level": ""}
    steps = TypeAdapter(Steps).validate_python(level["steps"])
    frame = fitted(cctv.degrade(photograph, steps, 0, level["level"], "published", 0)[0], (height, width))
    return frame, applied.frames(frame[None])[0]


# The card


def _readme(
    name: str, repository: str, card: Values, text: str, credits: Mapping[str, str], licence: str | None
) -> str:
    observes = card["observes"]
    parts = [
        f"---\n{_front(name, card, licence)}\n---",
        f"# {name}",
        f"{card['about']['title']}. A row of Afterimage, which rebuilds images from what is left of them.",
        f"    afterimage {COMMANDS[observes]} {hub.SCHEME}{repository} photograph.jpg",
        f"Left: {GIVEN[observes]}; middle: what the row makes of it; right: the photograph.",
        *(f"![{each}]({PICTURES}/{each}) {credit}" for each, credit in credits.items()),
        *([CARE] if observes == "frames" and CARE not in text else []),
        f"Licence of the weights: {card['about']['licence']}",
        text,
    ]
    return "\n\n".join(parts) + ("" if text.endswith("\n") else "\n")


def _front(name: str, card: Values, licence: str | None) -> str:
    """What the hub reads: YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=case["dataset"],
            dataset_name=f"{case['dataset']}, {case['images']} test images",
            dataset_config=case["case"],
            dataset_split="test",
            metric_type=metric,
            metric_name=METRICS[metric].heading,
            metric_value=value["mean"],
        )
        for case in card.get("results", [])
        for metric, value in case["metrics"].items()
    ]
    terms: Values = (
        {"license": licence} if licence else {"license": "other", "license_name": "terms-of-the-training-data"}
    )
    return ModelCardData(
        **terms,
        model_name=name,
        library_name="afterimage",
        pipeline_tag=TASK,
        tags=["afterimage", card["kind"], *TAGS[card["observes"]]],
        eval_results=results or None,
    ).to_yaml()
