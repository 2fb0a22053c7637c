"""What the three kinds of observations have in common."""

import subprocess
import sys
from pathlib import Path

import pytest
from rows import observed

from afterimage import observations
from afterimage.core import params
from afterimage.core.errors import ParamsError


@pytest.mark.parametrize("kind", observations.KINDS)
def test_every_kind_has_its_modules(kind: str) -> None:
    assert issubclass(observations.module(kind, "row").Row, observations.ObservationRow)
    assert callable(observations.module(kind, "writing").write)
    store = observations.module(kind, "store").Stored
    assert callable(store.cases) and callable(store.given)
    assert type(observed(kind)) is type(observed(kind)).kind_of(observed(kind).model_dump())


def test_rows_of_an_unknown_kind_name_the_kinds_there_are(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="there is no kind of observation `sounds`; there are features, holes, frame"):
        observations.module("sounds", "row")
    path = tmp_path / "params.yaml"

    def read(text: str) -> observations.ObservationRow:
        path.write_text(f"observations: {{mine: {{{text}}}}}\n")
        return params.row(path, "observations", "mine", observations.ObservationRow)

    with pytest.raises(ParamsError, match=r"`observations\.mine\.kind`: 'sounds': no such kind of observation"):
        read("kind: sounds, dataset: photos, path: src")
    with pytest.raises(ParamsError, match=r"`observations\.mine\.kind`: this key is missing"):
        read("dataset: photos, path: src")
    assert read("kind: holes, dataset: photos, path: src, seed: 0, shape: centre, side: 0.5").kind == "holes"


def test_a_part_is_of_a_row() -> None:
    assert observations.row_of("vgg16/relu1_2") == "vgg16"
    assert observations.row_of("two-boxes") == "two-boxes"


def test_the_package_imports_no_torch() -> None:
    """What only asks for rows should not wait for it."""
    program = (
        "import sys; from afterimage import observations\n"
        "for kind in ('features', 'holes', 'frames'): observations.module(kind, 'row')\n"
        "print(sorted({'torch', 'torchvision', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
