"""Write the cards of the zoo from results that are committed: `python docs/zoo.py`.

A row of the zoo is a folder `zoo/<name>`: `about.yaml`, which a person wrote, says what the row is for and what follows
from its data; all else there is written by this command. `card.json` is the card of the trained model with that, and
what `presets/results/<preset>` has on the row: what was measured, and the stages of dvc.lock that made it. README.md is
the card in words.

`python docs/zoo.py PRESET MODELS` first takes the models of those rows for which there is an `about.yaml` from a folder
of models, such as data/models, in half precision, and measures what the rounding changes; docs/results.py calls it so.
"""

import importlib
import io
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from afterimage import apply, reconstructors
from afterimage.core import images, outputs, params, weights
from afterimage.core.images import Uint8
from afterimage.core.zoo import CARD, README
from afterimage.datasets.sources import bundled
from afterimage.evaluation.metrics import Interval
from afterimage.evaluation.results import MAIN, METRICS, shown_value
from afterimage.observations.frames import CARE, cctv
from afterimage.observations.frames.filters import fitted
from afterimage.observations.frames.row import Steps
from afterimage.observations.holes import masks
from afterimage.observations.holes.masks import Box
from afterimage.review.cards import Lock
from afterimage.review.rebuilds import checked
from afterimage.training import models

ROOT = Path(__file__).parents[1]
ZOO, RESULTS = ROOT / "zoo", ROOT / "presets/results"
ABOUT = "about.yaml"
SAID = ("title", "command", "headline", "time", "data", "licence", "use", "limits")
"""The keys of about.yaml."""
UNTOUCHED = {"frames": "bicubic", "holes": "black", "features": None}
"""The baseline that is the input as it is."""
SHOWN = 256
"""Shorter side in px of the photographs that the rounding is measured on."""
Values = dict[str, Any]
yaml = YAML(typ="safe", pure=True)
yaml.default_flow_style = None  # type: ignore[assignment]
yaml.width, yaml.sort_base_mapping_type_on_output = 110, False  # type: ignore[assignment]


def rows() -> list[str]:
    """The rows that a person has written about."""
    return sorted(path.parent.name for path in ZOO.glob(f"*/{ABOUT}"))


def about(name: str) -> Values:
    found: Values = yaml.load(ZOO / name / ABOUT)
    if sorted(found) != sorted(SAID):
        raise SystemExit(f"zoo/{name}/{ABOUT}: expected the keys {', '.join(SAID)}, found {', '.join(found)}")
    return found


# The card


def card(name: str) -> Values:
    """The card anew: what training wrote and taking measured stays as it is."""
    folder = ZOO / name
    if not (folder / CARD).is_file():
        raise SystemExit(f"zoo/{name}: no model was taken yet; `python docs/zoo.py PRESET MODELS` takes it")
    found = _read(folder / CARD)
    preset = RESULTS / found["preset"]
    results = list(measured(preset, name))
    found |= {
        "about": about(name),
        "sha256": {
            path.name: outputs.sha256(path)
            for path in sorted(folder.iterdir())
            if path.name not in (CARD, README, ABOUT)
        },
        "results": results,
        "lock": made_by(preset, name),
    }
    return {**found, "headline": headline(found)}


def measured(preset: Path, name: str) -> Iterator[Values]:
    """Each case in which the row was measured: by itself, and as the `decoder` of rows that give it other images."""
    data = yaml.load(preset / "params.yaml")
    given = {name: data["reconstructors"][name]}
    given |= {row: found for row, found in data["searches"].items() if found.get("decoder") == name}
    for row, found in given.items():
        if not (preset / row / "provenance.json").is_file():
            continue
        own, beside = (_read(preset / each / "provenance.json") for each in (row, found["observation"].split("/")[0]))
        if own["images"] != beside["images"]:
            raise SystemExit(f"{preset / row}: measured on other images than the baselines of {found['observation']}")
        for case in own["cases"]:
            yield {
                "row": row,
                "case": case,
                "dataset": found["dataset"],
                "images": _read(preset / row / case / "intervals.json")["images"],
                "metrics": dict(_beside(preset, row, case, found, beside["cases"])),
            }


def _beside(preset: Path, row: str, case: str, given: Values, baselines: list[str]) -> Iterator[tuple[str, Values]]:
    """Each headline metric of a case: the row, the input as it is, and the best baseline of the same level."""
    kind = given["observes"]
    own = _read(preset / row / case / "intervals.json")
    levels = [each for each in baselines if each.startswith(f"{case}/")] or baselines
    folder = preset / given["observation"].split("/")[0]
    rivals = {each.rpartition("/")[2]: _read(folder / each / "intervals.json") for each in levels}
    for method, rival in rivals.items():
        if rival["images"] != own["images"]:
            counts = f"{method} was measured on {rival['images']} images, {row} on {own['images']}"
            raise SystemExit(f"{folder}: {counts}; measure both on the same (`images` of the row)")
    main = MAIN[kind]
    for metric in dict.fromkeys([main, *importlib.import_module(f"afterimage.evaluation.{kind}").HEADLINE]):
        there = {method: rival["metrics"][metric] for method, rival in rivals.items() if metric in rival["metrics"]}
        if metric not in own["metrics"] or not there:
            continue
        found, sign = own["metrics"][metric], 1 if METRICS[metric].higher_is_better else -1
        method = max(there, key=lambda each: sign * there[each]["mean"])
        best = there[method]
        gain = sign * (found["mean"] - best["mean"])
        untouched = there.get(UNTOUCHED[kind])
        yield (
            metric,
            {
                **found,
                "untouched": untouched and untouched["mean"],
                "best": {"method": method, **best},
                "verdict": "better" if gain > 0 else "worse" if gain < 0 else "equal",
                "overlap": found["low"] <= best["high"] and best["low"] <= found["high"],
            },
        )


def made_by(preset: Path, name: str) -> Values:
    """The entries of the run's dvc.lock that made the model: those of its training, and of all that it read."""
    path = preset / "dvc.lock"
    stages = yaml.load(path)["stages"]
    last = f"train@{name}"
    names = {last, *(maker for maker, _, _ in Lock(checked(stages, str(path))).behind(last))}
    return {each: stages[each] for each in stages if each in names}


def headline(found: Values) -> str:
    """The number that rows of its kind are ranked by, in the case that about.yaml names, and how it stands in all."""
    name, row = found["about"]["headline"], found["row"]
    metric = MAIN[found["observes"]]
    case = next((each for each in found["results"] if f"{each['row']}/{each['case']}" == name), None)
    if case is None or metric not in case["metrics"]:
        raise SystemExit(f"zoo/{row}/{ABOUT}: `headline` is {name}, which was not measured, or not by {metric}")
    one, digits = case["metrics"][metric], METRICS[metric].digits
    plain = "" if one["untouched"] is None else f"untouched {one['untouched']:.{digits}f}, "
    where = case["dataset"] if case["case"] == "test" else f"{case['dataset']} ({case['case']})"
    return (
        f"{METRICS[metric].heading} {one['mean']:.{digits}f} on test images of {where}; {plain}best baseline "
        f"{one['best']['mean']:.{digits}f} ({one['best']['method']}): {one['verdict']}. {tally(found)}"
    )


def tally(found: Values) -> str:
    """Of all numbers, how many are better than the best baseline's."""
    numbers = [each for case in found["results"] for each in case["metrics"].values()]
    better = [each for each in numbers if each["verdict"] == "better"]
    apart = sum(not each["overlap"] for each in better)
    return (
        f"Of {len(numbers)} numbers {len(better)} are better than the best baseline's, {apart or 'none'} of them with "
        "intervals that do not overlap."
    )


def _read(path: Path) -> Values:
    found: Values = json.loads(path.read_text(encoding="utf-8"))
    return found


# The card in words


def readme(found: Values) -> str:
    said, rounding = found["about"], found["rounding"]
    parts = [
        f"# zoo/{found['row']}",
        f"{said['title']}.",
        f"    {said['command']}",
        f"{found['headline']}",
        *([CARE] if found["observes"] == "frames" else []),
        "## Use",
        _list(said["use"]),
        "## Limits",
        _list(said["limits"]),
        "## Data and licence",
        said["licence"],
        "\n".join(
            [
                "| trained on | part | terms |",
                "| --- | --- | --- |",
                *(f"| {name} | {each['part']} | {each['terms']} |" for name, each in said["data"].items()),
            ]
        ),
        f"{_count(found['epochs'], 'epoch')}, {said['time']}. {found['words']}: {found['parameters']:,} parameters.",
        "## Results",
        "On test images that it was not trained on; 95 % intervals, bootstrap over groups of images. Untouched is the "
        f"input as it is ({_plain(found)}); the best baseline has the best mean of each metric. The verdict compares "
        "means; `~` says that the intervals overlap.",
        tally(found),
        _list(losses(found)),
        *tables(found["results"]),
        "## Half precision",
        f"The weights are the trained ones rounded to float16; the numbers above were measured before. On "
        f"{_count(rounding['answers'], 'answer')} for bundled photographs, {rounding['changed']:.2%} of the 8-bit "
        f"samples differ from those of float32, by at most {_count(rounding['largest'], 'level')} of 255, "
        f"{rounding['mean']:.4f} on average.",
        "## How it was made",
        f"By the preset `{found['preset']}`, with these parameters:",
        f"```yaml\n{_yaml(found['settings'])}```",
        "The stages of its dvc.lock, whole in `card.json`:",
        "\n".join(
            [
                "| stage | output | md5 |",
                "| --- | --- | --- |",
                *(
                    f"| `{stage}` | `{out['path']}` | `{out['md5']}` |"
                    for stage, entry in found["lock"].items()
                    for out in entry.get("outs", [])
                ),
            ]
        ),
        "\n".join(
            [
                "| file | sha256 |",
                "| --- | --- |",
                *(f"| `{name}` | `{digest}` |" for name, digest in found["sha256"].items()),
                f"| the weights before rounding | `{rounding['sha256']}` |",
            ]
        ),
        "Written by `python docs/zoo.py`.",
    ]
    return "\n\n".join(parts) + "\n"


def losses(found: Values) -> list[str]:
    """Where the row loses to a baseline, in words: a sentence for each row of results."""
    said = []
    for row in dict.fromkeys(case["row"] for case in found["results"]):
        cases = {case["case"]: case["metrics"] for case in found["results"] if case["row"] == row}
        lost = {
            case: [_heading(name) for name, each in metrics.items() if each["verdict"] == "worse"]
            for case, metrics in cases.items()
        }
        told = [
            f"{case} (all)" if len(names) == len(cases[case]) else f"{case} ({', '.join(names)})"
            for case, names in lost.items()
            if names
        ]
        said.append(f"`{row}` loses to the best baseline at {'; '.join(told)}." if told else f"`{row}` loses nowhere.")
    return said


def tables(results: list[Values]) -> Iterator[str]:
    for row in dict.fromkeys(case["row"] for case in results):
        cases = [case for case in results if case["row"] == row]
        yield f"`{row}`: {cases[0]['images']} test images of `{cases[0]['dataset']}`."
        lines = [
            "| case | metric | this row (95 %) | untouched | best baseline (95 %) | |",
            "| --- | --- | ---: | ---: | --- | --- |",
        ]
        for case in cases:
            for name, each in case["metrics"].items():
                digits, best = METRICS[name].digits, each["best"]
                plain = "" if each["untouched"] is None else f"{each['untouched']:.{digits}f}"
                lines.append(
                    f"| {case['case']} | {_heading(name)} | {_interval(each, digits)} | {plain} | "
                    f"{_interval(best, digits)} `{best['method']}` | {each['verdict']}{' ~' * each['overlap']} |"
                )
        yield "\n".join(lines)


def _interval(found: Mapping[str, Any], digits: int) -> str:
    shown = shown_value(Interval(found["mean"], found["low"], found["high"]), digits)
    return f"{shown['mean']} ({shown['low']} to {shown['high']})"


def _plain(found: Values) -> str:
    method = UNTOUCHED[found["observes"]]
    return f"`{method}`" if method else "features have none"


def _heading(name: str) -> str:
    return METRICS[name].heading


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _yaml(values: Values) -> str:
    stream = io.StringIO()
    yaml.dump(values, stream)
    return stream.getvalue()


def written(name: str) -> dict[str, str]:
    """The files that this command writes of a row, as they should be."""
    found = card(name)
    text = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {CARD: f"{text}\n", README: readme(found)}


# Taking a model


def take(preset: str, folder: Path) -> None:
    """Put the models of rows that a person has written about in the place of those that are there."""
    for source in sorted(path.parent for path in folder.glob(f"*/{models.CARD}")):
        name, out = source.name, ZOO / source.name
        if name not in rows():
            print(f"{source}: left out, there is no zoo/{name}/{ABOUT}")
            continue
        for path in source.iterdir():
            if path.suffix == ".safetensors":
                said, state = weights.load(path)
                weights.save(out / path.name, halved(state, path), said)
            elif path.is_file() and path.name != models.CARD:
                shutil.copyfile(path, out / path.name)
        found = _read(source / models.CARD)
        outputs.write_json(out / CARD, found)  # to be loaded by, as the trained one is
        outputs.write_json(out / CARD, {**found, "preset": preset, "rounding": rounding(source, out)})


def halved(state: weights.State, path: Path) -> weights.State:
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    if lost := [key for key, value in half.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise SystemExit(f"{path}: `{lost[0]}` has values that half precision does not hold")
    return half


def rounding(trained: Path, half: Path) -> Values:
    """What half precision changes in 8-bit answers on bundled photographs."""
    pairs = list(zip(answers(trained), answers(half), strict=True))
    change = np.concatenate([np.abs(one.astype(int) - other).ravel() for one, other in pairs])
    return {
        "sha256": outputs.sha256(trained / models.MODEL),
        "answers": len(pairs),
        "changed": round(float((change > 0).mean()), 6),
        "largest": int(change.max()),
        "mean": round(float(change.mean()), 6),
    }


def answers(folder: Path) -> Iterator[Uint8]:
    """What a model makes of each bundled photograph: of frames at each of its levels, of holes of a box in the middle,
    where only what fills it counts."""
    model = models.Model(folder, _read(folder / CARD))
    kind = reconstructors.kind_of(model.settings)
    row = params.typed(str(folder / CARD), dict(model.settings), kind.Row)
    loaded = reconstructors.Loaded(row, model.card, folder, kind.load(model))
    module = importlib.import_module(f"{apply.__name__}.{row.observes}")
    applied = module.Applied(folder.name, loaded, apply.pick(loaded, folder.name, ""), "cpu")
    for name, photograph in photographs().items():
        size = photograph.shape[:2]
        if row.observes == "frames":
            for part in model.given:
                steps = TypeAdapter(Steps).validate_python(part["steps"])
                frame = fitted(cctv.degrade(photograph, steps, 0, part["level"], name, 0)[0], size)
                yield applied.frames(frame[None])[0]
        elif row.observes == "holes":
            middle = Box(size[1] // 3, size[0] // 3, 2 * size[1] // 3, 2 * size[0] // 3)
            mask = masks.of_boxes([middle], *size, name)
            yield np.asarray(applied(Image.fromarray(photograph), mask).image)[mask]
        else:
            yield np.asarray(applied(Image.fromarray(photograph)))


@cache
def photographs() -> dict[str, Uint8]:
    """The photographs of the default run, with a shorter side of `SHOWN`."""
    table = ROOT / "src/afterimage/datasets/sources/bundled.csv"
    found = {}
    for item in bundled.items(bundled.Row(source="bundled", path=str(table), size=SHOWN)):
        with item.open() as stream:
            image = images.decode(stream.read())
        scale = SHOWN / min(image.size)
        found[item.name] = np.asarray(image.resize((round(image.width * scale), round(image.height * scale))))
    return found


if __name__ == "__main__":
    if len(sys.argv) > 1:
        take(sys.argv[1], Path(sys.argv[2]))
    for each in rows():
        for file, content in written(each).items():
            (ZOO / each / file).write_text(content, encoding="utf-8")
