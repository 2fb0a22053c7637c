"""Features that come as a file: through the module, and through `afterimage invert`."""

from pathlib import Path

import numpy as np
import pictures
import pytest
from click.testing import CliRunner
from PIL import Image

from afterimage import layout, outputs, weights
from afterimage.apply.inversions import Layer, read_features
from afterimage.cli import main
from afterimage.errors import LayerError, ParamsError, ShardError, WeightsError
from afterimage.images import to_uint8
from afterimage.observations.encoders import trunk

LAYER = "relu1_1"
PIXELS = {
    "parametrisation": "pixel",
    "learning_rate": 0.05,
    "priors": {
        "total_variation": {"weight": 0.0, "exponent": 1.0},
        "alpha_norm": {"weight": 0.0, "alpha": 6.0},
        "gaussian": {"weight": 0.0},
    },
}
ENCODER = {"arch": "vgg11", "weights": "random", "sha256": None, "seed": 0, "dataset": "mine", "layers": [LAYER]}
ENCODERS = {"vgg11": {**ENCODER, "dtype": "float16", "batch": 8}}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has an encoder with its weights, and files that somebody handed over."""
    root = tmp_path_factory.mktemp("project")
    state = trunk("vgg11", "random", 0, None)
    weights.save(root / layout.weights("vgg11"), state, {"arch": "vgg11", "origin": "random, seed 0"})
    outputs.write_json(root / "params.yaml", {"encoders": ENCODERS})
    photo = pictures.noise(40, 24)
    photo.save(root / "photo.png")
    taken = Layer(root, "vgg11", LAYER).features(photo)
    np.save(root / "one.npy", taken[0].numpy().astype(np.float16))
    np.save(root / "two.npy", taken.expand(2, -1, -1, -1).numpy())
    broken = taken[0].numpy().copy()
    broken[0, 0, 0] = np.nan
    np.save(root / "broken.npy", broken)
    return root


@pytest.mark.parametrize("layer", [LAYER, "relu2_1", "pool3"])
def test_features_tell_the_size_of_their_image(layer: str, project: Path) -> None:
    given = Layer(project, "vgg11", layer)
    for width, height in ((32, 32), (64, 48)):
        shape = given.features(Image.new("RGB", (width, height))).shape[1:]
        assert given.image_size(shape) == (height, width)


@pytest.mark.parametrize(("name", "count"), [("one.npy", 1), ("two.npy", 2)])
def test_a_file_of_features_gives_images(name: str, count: int, project: Path) -> None:
    given = Layer(project, "vgg11", LAYER)
    found = given.invert(read_features(project / name), given.settings(steps=30, **PIXELS))
    assert len(found) == count
    original = np.asarray(Image.open(project / "photo.png"), float)
    for one in found:
        assert one.error < 0.01
        assert np.abs(to_uint8(one.image) - original).mean() < 10


def test_an_image_of_any_size_can_be_named(project: Path) -> None:
    given = Layer(project, "vgg11", "pool3")
    odd = Image.new("RGB", (45, 37))
    found = given.invert(given.features(odd), given.settings(steps=1), (37, 45))
    assert found[0].image.shape == (3, 37, 45)


def test_settings_come_from_the_row_of_the_layer(project: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(project / "data")
    names = {"dataset": "mine", "encoder": "vgg11", "layer": LAYER, "features": f"vgg11/{LAYER}", "decoder": "mine"}
    plain = Layer(project, "vgg11", LAYER).settings().model_dump()
    mine = {**plain, **names, "images": 3, "optimiser": "adam", "jitter": 1, "patience": None}
    outputs.write_json(tmp_path / "params.yaml", {"encoders": ENCODERS, "inversions": {"mine": mine}})
    found = Layer(tmp_path, "vgg11", LAYER).settings(steps=7, seed=None)
    assert (found.optimiser, found.jitter, found.steps, found.patience) == ("adam", 1, 7, None)
    assert Layer(tmp_path, "vgg11", "relu2_1").settings().optimiser == "lbfgs"


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([{"a": 1}], dtype=object), "x.npy: not an array of numbers"),
        (np.array(["a"]), "x.npy: holds <U1, expected one array of numbers"),
        (np.zeros((4, 4)), r"shape \[4, 4\], expected \[C, h, w\] or \[N, C, h, w\]"),
        (np.array([np.nan, np.inf] + [0.0] * 14).reshape(1, 4, 4), "2 of 16 features are not finite"),
    ],
)
def test_a_file_that_holds_no_features_is_named(array: np.ndarray, text: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ShardError, match=text):
        read_features(tmp_path / "x.npy")


def test_what_is_not_there_is_named(project: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"not an array")
    with pytest.raises(ShardError, match="x.npy: not an array of numbers"):
        read_features(tmp_path / "x.npy")
    with pytest.raises(ParamsError, match=r"`encoders` has no row `vgg19`; it has vgg11"):
        Layer(project, "vgg19", LAYER)
    with pytest.raises(LayerError, match=r"vgg11 has no layer `relu9_9`; it has conv1_1"):
        Layer(project, "vgg11", "relu9_9")
    given = Layer(project, "vgg11", LAYER)
    with pytest.raises(WeightsError, match="no trained model"):
        given.invert(read_features(project / "one.npy"), given.settings(steps=1), decoder="none")
    with pytest.raises(ShardError, match="images of 4 x 4 px are too small for pool5 of vgg11"):
        Layer(project, "vgg11", "pool5").features(Image.new("RGB", (4, 4)))


# The command


def invert(project: Path, source: str, *words: str, layer: str = LAYER) -> tuple[int, str, str]:
    call = ["invert", project / source, "--encoder", "vgg11", "--layer", layer, "--project", project, *words]
    done = CliRunner().invoke(main, [str(word) for word in call])
    code = done.exit_code if isinstance(done.exit_code, int) else 1
    return code, done.stdout, done.stderr + (str(done.exception) if isinstance(done.exception, SystemExit) else "")


def test_invert_finds_an_image_for_features_in_a_file(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.png"
    code, said, warned = invert(project, "one.npy", "-o", str(out), "--steps", "20")
    assert code == 0
    assert said.startswith(f"{out}: feature error ")
    assert "after 20 steps" in said
    assert f"{out}: not converged" in warned
    found, truth = (np.asarray(Image.open(path), dtype=float) for path in (out, project / "photo.png"))
    assert found.shape == truth.shape == (24, 40, 3)
    assert np.abs(found - truth).mean() < 30
    again = tmp_path / "again.png"
    invert(project, "one.npy", "-o", str(again), "--steps", "20")
    assert again.read_bytes() == out.read_bytes()


def test_invert_numbers_several_images_and_takes_an_image_too(project: Path, tmp_path: Path) -> None:
    assert invert(project, "two.npy", "-o", str(tmp_path / "x.png"), "--steps", "2", "--size", "40x24")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-000.png", "x-001.png"]
    code, said, _ = invert(project, "photo.png", "-o", str(tmp_path / "y.png"), "--steps", "2")
    assert code == 0
    assert "dB, SSIM" in said


@pytest.mark.parametrize(
    ("source", "words", "layer", "text"),
    [
        ("broken.npy", [], LAYER, "broken.npy: 1 of 61440 features are not finite"),
        ("one.npy", [], "relu2_1", "features of shape [64, 24, 40]; relu2_1 of vgg11 has [128, h, w]"),
        ("one.npy", [], "relu7_7", "vgg11 has no layer `relu7_7`; it has conv1_1"),
        ("one.npy", ["--size", "9"], LAYER, "--size 9: expected WIDTHxHEIGHT in px"),
        ("one.npy", ["--size", "80x80"], LAYER, "has [64, 80, 80] for images of 80 x 80 px"),
        ("none.npy", [], LAYER, "No such file or directory"),
        ("params.yaml", [], LAYER, "not an image in a known format; features come as .npy"),
    ],
)
def test_what_invert_cannot_use_is_one_line(
    source: str, words: list[str], layer: str, text: str, project: Path, tmp_path: Path
) -> None:
    code, _, said = invert(project, source, "-o", str(tmp_path / "x.png"), *words, layer=layer)
    assert code == 1
    assert text in said
    assert said.startswith("afterimage: ")
    assert said.count("\n") == 0
    assert not (tmp_path / "x.png").exists()
