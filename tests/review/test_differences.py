"""Verdicts of two folders of results that are written by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_folders import GROUPS, KEYS, PROVENANCE, PSNR, commit, result

from afterimage.evaluation.comparing import benjamini_hochberg, difference
from afterimage.review import differences
from afterimage.review.differences import Change, Comparison, Reason, Verdict
from afterimage.review.revisions import Folder, RevisionError, side

NOISE = np.random.default_rng(1).normal(size=(40, len(KEYS)))


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "before", tmp_path / "after"


def compare(sides: tuple[Path, Path]) -> Comparison:
    return differences.compare(*(Folder(root, root.name) for root in sides))


def by_name(comparison: Comparison) -> dict[tuple[str, str], Change]:
    return {(change.name, change.metric): change for change in comparison.changes}


def verdicts(comparison: Comparison) -> dict[tuple[str, str], str]:
    return {name: change.verdict.value for name, change in by_name(comparison).items()}


def both(sides: tuple[Path, Path], place: str, old: Mapping[str, Any], new: Mapping[str, Any], **more: Any) -> None:
    result(sides[0], place, old, **more)
    result(sides[1], place, new, **more)


def test_the_same_results_have_no_verdict(sides: tuple[Path, Path]) -> None:
    for root in sides:
        result(root, "a/test", {"psnr": PSNR, "ssim": PSNR / 40})
        result(root, "b/heavy", {"psnr": [PSNR, PSNR + 1]}, kind="frames")
    found = compare(sides)
    assert set(found.counts) == {Verdict.UNCHANGED}
    assert found.tests == 0
    change = by_name(found)["b/heavy", "psnr"]
    assert (change.kind, change.before, change.after, change.images, change.seeds) == ("frames", 20.5, 20.5, 20, (2, 2))


def test_a_planted_change_is_found(sides: tuple[Path, Path]) -> None:
    """Half a decibel in two rows of ten; all others moved by a tenth an image as well."""
    values = []
    for number in range(10):
        shift = {3: 0.5, 6: -0.5}.get(number, 0)
        values.append((PSNR + 0.1 * NOISE[number], PSNR + shift + 0.1 * NOISE[number + 10]))
        old, new = ({"psnr": psnr, "lpips": 1 - psnr / 40} for psnr in values[-1])
        both(sides, f"row{number}/test", old, new)
    found = compare(sides)
    assert found.tests == 20
    planted = {("row3", "psnr"): "better", ("row3", "lpips"): "better"}
    planted |= {("row6", "psnr"): "worse", ("row6", "lpips"): "worse"}
    assert verdicts(found) == {name: planted.get(name, "no difference shown") for name in verdicts(found)}
    assert [change.name for change in found.changes[:4]] == ["row3", "row3", "row6", "row6"]
    change = by_name(found)["row3", "psnr"]
    assert change.difference is not None
    assert change.difference.low < 0.5 < change.difference.high
    before, after = (np.array([[float(f"{value:.6g}") for value in side]]) for side in values[3])
    assert change.difference == pytest.approx(difference(before, after, GROUPS, 2000, seed=0))
    p = [each.difference.p for each in found.changes if each.difference]
    assert [each.q for each in found.changes] == pytest.approx(list(benjamini_hochberg(p)))


def test_changes_without_an_effect_are_seldom_found() -> None:
    """Of 400 runs in which 15 metrics moved at random, about one in twenty has a verdict."""
    generator, wrong = np.random.default_rng(2), 0
    for _ in range(400):
        moved = np.repeat(generator.normal(size=(15, 5)), 4, axis=1) + generator.normal(size=(15, len(KEYS)))
        found = differences.differences(np.zeros((15, 1, len(KEYS))), moved[:, None], GROUPS, 400, seed=0)
        changes = [Change("features", "a", "test", "psnr", Verdict.UNSHOWN, difference=each) for each in found]
        wrong += any(change.verdict in differences.JUDGED for change in differences._judged(changes))
    assert wrong <= 400 * 0.07


def test_the_direction_is_that_of_the_metric(sides: tuple[Path, Path]) -> None:
    more = 0.5 + 0.01 * NOISE[0]
    old = dict.fromkeys(("psnr", "lpips", "spread", "unheard_of"), PSNR)
    both(sides, "a/test", old, {name: values + more for name, values in old.items()})
    found = compare(sides)
    assert verdicts(found) == {
        ("a", "psnr"): "better",
        ("a", "lpips"): "worse",
        ("a", "spread"): "changed",
        ("a", "unheard_of"): "changed",
    }
    unjudged = by_name(found)["a", "spread"]
    assert unjudged.q is None and unjudged.difference is not None
    assert found.tests == 2


def test_images_are_joined_by_key(sides: tuple[Path, Path]) -> None:
    result(sides[0], "a/test", {"psnr": PSNR, "ssim": PSNR / 40})
    order = np.random.default_rng(3).permutation(len(KEYS))
    result(
        sides[1],
        "a/test",
        {"psnr": PSNR[order], "ssim": PSNR[::-1] / 40},
        keys=[KEYS[place] for place in order],
        groups=[GROUPS[place] for place in order],
    )
    assert verdicts(compare(sides)) == {("a", "psnr"): "unchanged", ("a", "ssim"): "no difference shown"}


def provenance(**changed: Any) -> dict[str, Any]:
    return {**PROVENANCE, **changed}


@pytest.mark.parametrize(
    ("after", "reasons"),
    [
        (provenance(images="9z"), [Reason.IMAGES] * 3),
        (provenance(observations={"test": "9z", "heavy": "3c"}), [Reason.OBSERVATIONS] * 3),
        (provenance(observations={"test": "2b", "heavy": "9z"}), [None] * 3),
        (provenance(lpips="9z"), [None, None, Reason.LPIPS]),
        (provenance(metrics={"psnr": "RGB, cap 100", "lpips": "AlexNet"}), [Reason.DEFINITION, None, None]),
        (provenance(images="9z", lpips="9z", metrics={"psnr": ""}), [Reason.IMAGES] * 3),
        (provenance(seeds=[7]), [None] * 3),
        (None, [None] * 3),
    ],
    ids=["images", "observations", "others", "lpips", "definition", "several", "seeds", "unknown"],
)
def test_what_cannot_be_compared(
    sides: tuple[Path, Path], after: dict[str, Any] | None, reasons: list[Reason | None]
) -> None:
    old = {"psnr": PSNR, "ssim": PSNR / 40, "hole_lpips": PSNR / 50}
    result(sides[0], "a/test", old)
    result(sides[1], "a/test", {name: values + 1 for name, values in old.items()}, provenance=after)
    found = compare(sides)
    changes = by_name(found)
    assert [changes["a", name].reason for name in old] == reasons
    for change in changes.values():
        assert (change.verdict == Verdict.NOT_COMPARABLE) == (change.reason is not None)
        assert (change.q is None) == (change.reason is not None)
        assert change.before is not None and change.after is not None
    assert found.unproven == ([] if after else ["after"])


def test_of_frames_the_observations_are_those_of_the_level(sides: tuple[Path, Path]) -> None:
    other = provenance(observations={"heavy": "9z", "light": "4d"})
    for case in ("heavy", "light", "heavy/telea"):
        result(sides[0], f"a/{case}", {"psnr": PSNR}, kind="frames")
        result(sides[1], f"a/{case}", {"psnr": PSNR + 1}, kind="frames", provenance=other)
    reasons = {change.name: change.reason for change in compare(sides).changes}
    assert reasons == {"a/heavy": Reason.OBSERVATIONS, "a/light": None, "a/heavy/telea": Reason.OBSERVATIONS}


@pytest.mark.parametrize("changed", ["keys", "groups", "fewer"])
def test_other_images_are_known_by_their_keys_and_groups(sides: tuple[Path, Path], changed: str) -> None:
    result(sides[0], "a/test", {"psnr": PSNR}, provenance=None)
    keys, groups, values = list(KEYS), list(GROUPS), PSNR + 1
    if changed == "keys":
        keys[3] = "other"
    elif changed == "groups":
        groups[3] = "other"
    else:
        keys, groups, values = keys[1:], groups[1:], values[1:]
    result(sides[1], "a/test", {"psnr": values}, provenance=None, keys=keys, groups=groups)
    (change,) = compare(sides).changes
    assert (change.verdict, change.reason) == (Verdict.NOT_COMPARABLE, Reason.IMAGES)
    assert change.difference is None


def test_rows_cases_and_metrics_of_one_side(sides: tuple[Path, Path]) -> None:
    result(sides[0], "a/test", {"psnr": PSNR, "mse": PSNR})
    result(sides[0], "gone/test", {"psnr": PSNR})
    result(sides[1], "a/test", {"psnr": PSNR, "ssim": PSNR})
    result(sides[1], "a/more", {"psnr": PSNR})
    found = compare(sides)
    assert verdicts(found) == {
        ("a", "ssim"): "new",
        ("a", "mse"): "gone",
        ("a", "psnr"): "unchanged",
        ("a/more", "psnr"): "new",
        ("gone", "psnr"): "gone",
    }
    assert {(change.before, change.after) for change in found.changes if change.name == "gone"} == {(20.0, None)}
    assert by_name(found)["a/more", "psnr"].seeds == (0, 1)


def test_the_order_is_that_of_kinds_verdicts_and_names(sides: tuple[Path, Path]) -> None:
    places = [("frames", "f/light"), ("frames", "f/heavy"), ("holes", "b/test"), ("features", "z/test")]
    places += [("features", "same/test"), ("features", "a/test")]
    for kind, place in places:
        main = "hole_psnr" if kind == "holes" else "psnr"
        old = {"ssim": PSNR, main: PSNR, "mse": PSNR}
        shift = {"z/test": 1.0, "b/test": 1.0, "same/test": 0.0}.get(place)
        moved = {name: values + (NOISE[1] if shift is None else shift) for name, values in old.items()}
        both(sides, place, old, moved, kind=kind)
    found = compare(sides)
    assert list(dict.fromkeys(change.name for change in found.changes)) == ["z", "a", "same", "b", "f/heavy", "f/light"]
    assert [change.metric for change in found.changes if change.name == "b"] == ["hole_psnr", "ssim", "mse"]
    assert [change.verdict.value for change in found.changes if change.name == "z"] == ["better", "better", "worse"]
    assert [change.is_main for change in found.changes if change.name == "b"] == [True, False, False]


def test_training_seeds_widen_the_interval(sides: tuple[Path, Path]) -> None:
    spread = np.array([-0.6, 0.0, 0.6])[:, None]
    both(sides, "one/test", {"psnr": PSNR}, {"psnr": PSNR + 0.5 + 0.01 * NOISE[0]})
    both(sides, "three/test", {"psnr": PSNR + spread}, {"psnr": PSNR + 0.5 + spread + 0.01 * NOISE[0]})
    both(sides, "mixed/test", {"psnr": PSNR}, {"psnr": PSNR + 0.5 + spread})
    both(sides, "plain/test", {"psnr": PSNR}, {"psnr": PSNR + 0.5}, provenance=provenance(seeds=[]))
    found = by_name(compare(sides))
    assert {name: change.verdict.value for (name, _), change in found.items()} == {
        "one": "better",
        "three": "no difference shown",
        "mixed": "no difference shown",
        "plain": "better",
    }
    seeds = {name: change.seeds for (name, _), change in found.items()}
    assert seeds == {"one": (1, 1), "three": (3, 3), "mixed": (1, 3), "plain": (0, 0)}


def test_the_settings_are_those_of_the_second_side(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    both(sides, "a/test", {"psnr": PSNR}, {"psnr": PSNR + NOISE[0]})
    asked = []
    real = differences.differences

    def spy(*words: Any) -> Any:
        asked.append(words[3:])
        return real(*words)

    monkeypatch.setattr(differences, "differences", spy)
    compare(sides)
    for text in (
        "metrics: {seed: 3, bootstrap: 500}\n",
        "metrics: {seed: 3, bootstrap: 20}\n",
        "metrics: 3\n",
        "a: [\n",
    ):
        (sides[0] / "params.yaml").write_text("metrics: {seed: 9, bootstrap: 900}\n")
        (sides[1] / "params.yaml").write_text(text)
        compare(sides)
    assert asked == [(2000, 0), (500, 3), (differences.LEAST, 3), (2000, 0), (2000, 0)]


def test_a_kind_that_only_the_other_side_knows(sides: tuple[Path, Path]) -> None:
    both(sides, "a/test", {"hole_psnr": PSNR}, {"hole_psnr": PSNR}, kind="holes", provenance=None)
    (sides[0] / "metrics/holes/a/test.json").unlink()
    assert [change.kind for change in compare(sides).changes] == ["holes"]
    (sides[1] / "metrics/holes/a/test.json").unlink()
    assert [change.kind for change in compare(sides).changes] == [""]


HEAD = "key,image,group,psnr\n"
BROKEN = {
    "images.csv": ["", HEAD, "key,psnr\na,1\n", "\udcff"]
    + [f"{HEAD}{line}\n" for line in ("a,b,c", "a,b,c,x", "a,b,c,nan", "a,b,c,1,2", "a,b,c,1\na,b,c,2")],
    "seeds.csv": ["", "seed,key,psnr\n0,a,1\n", "key,psnr\na,1\n"],
    "provenance.json": ["{", "[]", "\udcff"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts])
def test_a_broken_file_is_one_line(sides: tuple[Path, Path], name: str, text: str) -> None:
    both(sides, "a/test", {"psnr": PSNR}, {"psnr": PSNR})
    path = f"reports/measured/a/{'' if name == 'provenance.json' else 'test/'}{name}"
    (sides[1] / path).write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(RevisionError) as raised:
        compare(sides)
    assert str(raised.value).startswith(f"after: {path}: ") and "\n" not in str(raised.value)


def test_seeds_that_a_table_has_twice(sides: tuple[Path, Path]) -> None:
    both(sides, "a/test", {"psnr": [PSNR, PSNR]}, {"psnr": [PSNR, PSNR]})
    path = sides[0] / "reports/measured/a/test/seeds.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[1]]) + "\n")
    with pytest.raises(RevisionError, match="a line for each seed and image"):
        compare(sides)


def test_there_are_results_on_one_side_at_least(sides: tuple[Path, Path]) -> None:
    with pytest.raises(RevisionError, match=r"^before and after: nothing is measured there, in reports/measured/"):
        compare(sides)
    result(sides[1], "a/test", {"psnr": PSNR})
    assert verdicts(compare(sides)) == {("a", "psnr"): "new"}


def test_a_revision_is_read_as_a_folder_is(sides: tuple[Path, Path]) -> None:
    both(sides, "a/test", {"psnr": PSNR}, {"psnr": PSNR + 0.5})
    folders = compare(sides).changes
    assert [change.verdict for change in folders] == [Verdict.BETTER]
    commit(sides[0], "Before")
    result(sides[0], "a/test", {"psnr": PSNR + 0.5})
    assert differences.compare(side(sides[0], "HEAD"), side(sides[0], None)).changes == folders
