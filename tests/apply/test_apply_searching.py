"""A search whose steps are told is the search that is not watched."""

import numpy as np
import pictures
import pytest
from conftest import Project

from afterimage import apply
from afterimage.apply.searching import Step, search
from afterimage.core.errors import ParamsError

ROW = "small-relu-search"


def test_the_steps_are_told_and_change_no_bit(project: Project) -> None:
    image, told = pictures.noise(48, 40), list[Step]()
    last = search(apply.load(project.root, ROW), image, told.append)
    assert [step.number for step in told[:-1]] == list(range(9))
    assert told[-1] == last and last.over and last.of == 8
    assert last.image is not None and last.error is not None
    assert (np.asarray(last.image) == np.asarray(apply.load(project.root, ROW)(image))).all()
    errors = [step.error for step in told if step.error is not None]
    assert errors == sorted(errors, reverse=True)
    assert told[0].error is None and told[0].image is not None
    begun = apply.load(project.root, f"{ROW}/decoder")(image)
    assert (np.asarray(told[0].image) == np.asarray(begun)).all()


def test_a_search_from_the_features_alone_begins_with_no_image(project: Project) -> None:
    told = list[Step]()
    search(apply.load(project.root, f"{ROW}/optimisation"), pictures.noise(40, 32), told.append)
    assert told[0].image is None and told[-1].image is not None


def test_what_the_listener_raises_ends_it(project: Project) -> None:
    def stop(step: Step) -> None:
        if step.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(apply.load(project.root, ROW), pictures.noise(40, 32), stop)


def test_a_row_that_does_not_search_is_one_line(project: Project) -> None:
    with pytest.raises(ParamsError, match="small-relu: rows of its kind do not tell how far they are"):
        search(apply.load(project.root, "small-relu"), pictures.noise(40, 32), lambda step: None)
