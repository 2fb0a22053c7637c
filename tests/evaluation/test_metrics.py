"""Every metric against its reference: scikit-image, the lpips package, and the papers' formulas written out."""

import hashlib
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut, coffee
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from afterimage.core import params
from afterimage.core.errors import MetricError, ParamsError, WeightsError
from afterimage.evaluation import metrics
from afterimage.evaluation.metrics import Lpips, MetricsRow, bootstrap, mse, psnr, ssim, write_lpips_weights


def row(**changes) -> MetricsRow:
    return MetricsRow(**{"lpips_weights": "random", "lpips_sha256": None, "seed": 0, "bootstrap": 200, **changes})


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Six 8-bit crops of photographs, 48 x 40 px, and versions with noise from faint to heavy."""
    photographs = (astronaut(), coffee())
    originals = np.stack([photographs[i % 2][60 + 30 * i :][:40, 90:138] for i in range(6)])
    noise = np.random.default_rng(7).normal(size=originals.shape)
    strengths = np.array([1, 3, 8, 20, 60, 150]).reshape(6, 1, 1, 1)
    return originals, np.clip(originals + noise * strengths, 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "lpips-alexnet.safetensors"
    write_lpips_weights(row(), path)
    return path


@pytest.fixture(scope="module")
def lpips(trunk) -> Lpips:
    return Lpips(trunk)


@pytest.fixture(scope="module")
def alexnet() -> dict:
    """A state dict with features unlike those of seed 0, and of the classifier its small last layer."""
    import torch
    from torchvision.models import AlexNet

    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = AlexNet(num_classes=2).state_dict()
    return {key: value for key, value in state.items() if key.startswith(("features.", "classifier.6."))}


# The numbers


def test_mse_and_psnr_are_scikit_images(pairs):
    expected = [mean_squared_error(a / 255, b / 255) for a, b in zip(*pairs, strict=True)]
    np.testing.assert_allclose(mse(*pairs), expected, rtol=1e-12)
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(*pairs, strict=True)]
    np.testing.assert_allclose(psnr(*pairs), expected, atol=1e-9)


def test_ssim_is_scikit_images(pairs):
    expected = [
        structural_similarity(
            a,
            b,
            win_size=11,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=2,
            data_range=255,
        )
        for a, b in zip(*pairs, strict=True)
    ]
    np.testing.assert_allclose(ssim(*pairs), expected, atol=1e-9)


def test_ssim_is_the_papers_formula(pairs):
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def mean(image: np.ndarray) -> np.ndarray:  # over every 11 x 11 window that lies inside
        views = np.lib.stride_tricks.sliding_window_view(image, (11, 11), axis=(0, 1))
        return np.einsum("hwcij,ij->hwc", views, window)

    a, b = pairs[0][3] / 255, pairs[1][3] / 255
    c1, c2 = 0.01**2, 0.03**2
    covariance = mean(a * b) - mean(a) * mean(b)
    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    means = mean(a) ** 2 + mean(b) ** 2
    index = (2 * mean(a) * mean(b) + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
    assert ssim(*pairs)[3] == pytest.approx(index.mean(), abs=1e-9)


def test_lpips_is_the_official_package_on_the_same_trunk(pairs, lpips, trunk):
    import lpips as official
    import torch
    from safetensors.torch import load_file

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = official.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = load_file(trunk)
    for part, numbers in enumerate(([0], [3], [6], [8], [10]), start=1):
        for number in numbers:
            layer = getattr(reference.net, f"slice{part}")[-2 if part > 1 else 0]
            layer.weight.data, layer.bias.data = (state[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
    expected = []
    for a, b in zip(*pairs, strict=True):  # im2tensor is the package's own way from 8-bit pixels to [-1, 1]
        with torch.no_grad():
            expected.append(reference(official.im2tensor(a), official.im2tensor(b)).item())
    assert min(expected) > 1e-5, "a trunk that sees nothing would agree with anything"
    np.testing.assert_allclose(lpips(*pairs), expected, rtol=1e-4)


def test_lpips_heads_are_those_of_the_wheel(lpips):
    import lpips as official
    import torch

    heads = torch.load(Path(official.__file__).parent / "weights/v0.1/alex.pth", "cpu", weights_only=True)
    assert len(heads) == 5
    state = lpips._model.state_dict()
    for key, value in heads.items():
        assert torch.equal(state[key], value), key
    assert not lpips._model.training


def test_worse_images_score_worse(lpips):
    original = astronaut()[60:108, 90:138]
    noise = np.random.default_rng(7).normal(size=original.shape)
    worse = np.stack([np.clip(original + noise * strength, 0, 255) for strength in (2, 8, 30, 100)]) / 255
    originals = np.stack([original] * 4)
    assert (np.diff(psnr(originals, worse)) < 0).all()
    assert (np.diff(ssim(originals, worse)) < 0).all()
    assert (np.diff(lpips(originals, worse)) > 0).all()


def test_identical_images(pairs, lpips):
    originals = pairs[0]
    assert (mse(originals, originals) == 0).all()
    assert (psnr(originals, originals) == metrics.PSNR_CAP).all()
    assert ssim(originals, originals) == pytest.approx(np.ones(6), abs=1e-12)
    assert (lpips(originals, originals) == 0).all()


@pytest.mark.parametrize("levels", [1, 51, 255])
def test_a_constant_offset_is_known(levels):
    black = np.zeros((2, 16, 16, 3), np.uint8)
    assert mse(black, black + np.uint8(levels)) == pytest.approx([(levels / 255) ** 2] * 2, rel=1e-12)
    assert psnr(black, black + np.uint8(levels)) == pytest.approx([20 * math.log10(255 / levels)] * 2, abs=1e-9)


def test_psnr_is_capped_just_below_infinity():
    black = np.zeros((1, 8, 8, 3))
    near, nearer = np.full_like(black, 1.01e-5), np.full_like(black, 0.99e-5)
    assert psnr(black, near)[0] < metrics.PSNR_CAP
    assert psnr(black, nearer)[0] == metrics.PSNR_CAP


def test_8_bit_and_float_images_score_the_same(pairs, lpips):
    floats = [images / 255 for images in pairs]
    for metric in (mse, psnr, ssim, lpips):
        np.testing.assert_allclose(metric(*pairs), metric(*floats), rtol=1e-6)


def test_the_batch_changes_nothing(pairs, lpips):
    for metric in (mse, psnr, ssim, lpips):
        singly = np.concatenate([metric(a[None], b[None]) for a, b in zip(*pairs, strict=True)])
        np.testing.assert_allclose(metric(*pairs), singly, atol=1e-6)


# What cannot be compared


def test_shapes_that_differ_are_named(lpips):
    a, b = np.zeros((2, 40, 40, 3), np.uint8), np.zeros((2, 40, 41, 3), np.uint8)
    for metric in (mse, psnr, ssim, lpips):
        with pytest.raises(MetricError, match=r"\(2, 40, 40, 3\) and \(2, 40, 41, 3\)"):
            metric(a, b)


@pytest.mark.parametrize("shape", [(40, 40, 3), (2, 3, 40, 40), (0, 40, 40, 3)])
def test_other_layouts_are_refused(shape):
    with pytest.raises(MetricError, match=r"expected \[N, H, W, 3\]"):
        mse(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, math.nan, math.inf])
def test_floats_out_of_range_are_refused(value):
    good = np.zeros((1, 8, 8, 3))
    bad = good.copy()
    bad[0, 3, 3, 1] = value
    with pytest.raises(MetricError, match="expected 0 to 1"):
        mse(good, bad)


def test_other_types_are_refused():
    with pytest.raises(MetricError, match="int64"):
        mse(np.zeros((1, 8, 8, 3), np.int64), np.zeros((1, 8, 8, 3), np.int64))


def test_images_too_small(lpips):
    for metric, side in ((ssim, metrics.SSIM_WINDOW), (lpips, metrics.LPIPS_SMALLEST)):
        enough = np.zeros((1, side, side, 3), np.uint8)
        assert np.isfinite(metric(enough, enough + 9)).all()
        short = enough[:, 1:]
        with pytest.raises(MetricError, match=f"{side} x {side - 1} px are too few"):
            metric(short, short)


# The trunk's weights


def test_the_random_trunk_is_seeded_and_the_same_every_time(trunk, tmp_path):
    import torch

    torch.manual_seed(3)
    before = torch.get_rng_state()
    write_lpips_weights(row(), tmp_path / "again")
    write_lpips_weights(row(seed=1), tmp_path / "other")
    Lpips(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == trunk.read_bytes()
    assert (tmp_path / "other").read_bytes() != trunk.read_bytes()
    assert torch.equal(torch.get_rng_state(), before), "nobody else's random numbers may move"


def test_an_untrained_trunk_is_not_called_lpips(lpips):
    assert lpips.name == "lpips_untrained"


def test_imagenet_weights_are_called_lpips(alexnet, tmp_path, monkeypatch):
    """The checkpoint lies where torchvision looks for it; its name carries its true hash, so both checks are real."""
    checkpoint = torchvision_checkpoint(alexnet, tmp_path, monkeypatch)
    write_lpips_weights(row(lpips_weights="IMAGENET1K_V1"), tmp_path / "trunk")
    assert Lpips(tmp_path / "trunk").name == "lpips"
    assert_same_trunk(alexnet, tmp_path / "trunk")
    # The same file by its path, as one without a network has it, is known by its hash
    write_lpips_weights(row(lpips_weights=str(checkpoint), lpips_sha256=sha256(checkpoint)), tmp_path / "by-hand")
    assert Lpips(tmp_path / "by-hand").name == "lpips"


def test_imagenet_weights_are_fetched_and_checked(alexnet, tmp_path, monkeypatch):
    checkpoint = torchvision_checkpoint(alexnet, tmp_path, monkeypatch)
    served = tmp_path / "server" / checkpoint.name
    served.parent.mkdir()
    checkpoint.rename(served)
    use_url(monkeypatch, served.as_uri())
    write_lpips_weights(row(lpips_weights="IMAGENET1K_V1"), tmp_path / "trunk")
    assert checkpoint.exists()
    assert_same_trunk(alexnet, tmp_path / "trunk")

    checkpoint.unlink()
    served.write_bytes(served.read_bytes() + b"altered")
    with pytest.raises(WeightsError, match="hash"):
        write_lpips_weights(row(lpips_weights="IMAGENET1K_V1"), tmp_path / "altered")

    served.unlink()
    with pytest.raises(WeightsError, match=checkpoint.name):
        write_lpips_weights(row(lpips_weights="IMAGENET1K_V1"), tmp_path / "unreachable")
    assert not (tmp_path / "altered").exists()
    assert not (tmp_path / "unreachable").exists()


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_from_a_file(kind, alexnet, tmp_path):
    import torch
    from safetensors.torch import save_file

    file = tmp_path / f"own.{kind}"
    save_file(alexnet, file) if kind == "safetensors" else torch.save(alexnet, file)
    write_lpips_weights(row(lpips_weights=str(file), lpips_sha256=sha256(file)), tmp_path / "trunk")
    assert_same_trunk(alexnet, tmp_path / "trunk")
    assert Lpips(tmp_path / "trunk").name == "lpips_untrained", "who trained it, and on what, is not known"


def test_weights_that_do_not_fit(alexnet, tmp_path):
    import torch

    for change, message in (
        ({"features.3.bias": None}, "missing.*features.3.bias"),
        ({"features.3.extra": torch.zeros(1)}, "unknown.*features.3.extra"),
        ({"features.0.weight": torch.zeros(64, 3, 7, 7)}, r"features.0.weight.*\[64, 3, 7, 7\]"),
    ):
        file = tmp_path / "own.pth"
        torch.save({key: value for key, value in (alexnet | change).items() if value is not None}, file)
        with pytest.raises(WeightsError, match=message):
            write_lpips_weights(row(lpips_weights=str(file), lpips_sha256=sha256(file)), tmp_path / "trunk")
    assert not (tmp_path / "trunk").exists()


def test_a_file_that_is_missing_or_altered(tmp_path):
    file = tmp_path / "own.pth"
    wanted = row(lpips_weights=str(file), lpips_sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"own\.pth"):
        write_lpips_weights(wanted, tmp_path / "trunk")
    file.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=f"own.pth.*{sha256(file)}.*{'0' * 64}"):
        write_lpips_weights(wanted, tmp_path / "trunk")


def test_a_trunk_of_unknown_origin_is_refused(alexnet, tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        Lpips(tmp_path / "none.safetensors")
    own = tmp_path / "own.safetensors"
    save_file(alexnet, own)
    with pytest.raises(WeightsError, match=r"own\.safetensors"):
        Lpips(own)


def test_the_parameters(tmp_path):
    path = tmp_path / "params.yaml"

    def written(weights: str, sha256: str) -> MetricsRow:
        text = f"metrics: {{lpips_weights: {weights}, lpips_sha256: {sha256}, seed: 0, bootstrap: 10}}\n"
        path.write_text(text)
        return params.table(path, "metrics", MetricsRow)

    assert written("random", "null").bootstrap == 10
    assert written("own.pth", "abc").lpips_sha256 == "abc"
    with pytest.raises(ParamsError, match=r"metrics.lpips_sha256.*own.pth"):
        written("own.pth", "null")
    with pytest.raises(ParamsError, match=r"metrics.lpips_sha256.*lpips_weights is IMAGENET1K_V1"):
        written("IMAGENET1K_V1", "abc")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def use_url(monkeypatch, url: str) -> None:
    from torchvision.models import AlexNet_Weights

    monkeypatch.setattr(AlexNet_Weights.IMAGENET1K_V1.value, "url", url)


def torchvision_checkpoint(state: dict, folder: Path, monkeypatch) -> Path:
    """Save a state where torchvision looks for its own, under a name with the file's hash."""
    import torch

    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    home = folder / "torch/hub/checkpoints"
    home.mkdir(parents=True)
    torch.save(state, home / "unnamed")
    checkpoint = home / f"alexnet-{sha256(home / 'unnamed')[:8]}.pth"
    (home / "unnamed").rename(checkpoint)
    use_url(monkeypatch, f"https://example.invalid/{checkpoint.name}")
    return checkpoint


def assert_same_trunk(state: dict, path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    trunk = load_file(path)
    assert sorted(trunk) == sorted(key for key in state if key.startswith("features."))
    assert all(torch.equal(state[key], value) for key, value in trunk.items())


# The intervals


def test_bootstrap_is_the_plain_loop():
    values = np.random.default_rng(1).normal(size=23)
    groups = [f"g{i % 5}" for i in range(23)]
    found = bootstrap(values, groups, samples=300, seed=4)

    generator = np.random.default_rng(4)
    means = []
    for _ in range(300):
        drawn = generator.integers(5, size=5)
        means.append(np.mean(np.concatenate([values[np.arange(23) % 5 == group] for group in drawn])))
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), rel=1e-12)


def test_bootstrap_does_not_depend_on_its_blocks():
    """Past a million draws it works in blocks; the loop above must still hold."""
    values = np.random.default_rng(2).normal(size=1500)
    found = bootstrap(values, [f"{i:04d}" for i in range(1500)], samples=1000, seed=0)
    drawn = np.random.default_rng(0).integers(1500, size=(1000, 1500))
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])), rel=1e-9
    )


def test_bootstrap_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(3)
    groups = [str(i) for i in range(60)]
    hits = 0
    for trial in range(300):
        interval = bootstrap(generator.exponential(size=60), groups, samples=400, seed=trial, level=0.9)
        hits += interval.low <= 1 <= interval.high
    assert 0.84 < hits / 300 < 0.94  # 0.9 less the percentile interval's known shortfall on skewed data


def test_groups_widen_the_interval_of_clustered_data():
    centres = np.random.default_rng(5).normal(size=12)
    values = np.repeat(centres, 50) + np.random.default_rng(6).normal(scale=0.1, size=600)
    clustered = bootstrap(values, [str(i // 50) for i in range(600)], samples=500, seed=0)
    single = bootstrap(values, [str(i) for i in range(600)], samples=500, seed=0)
    assert clustered.mean == single.mean
    assert clustered.high - clustered.low > 4 * (single.high - single.low)  # sqrt(50) = 7 in the limit


def test_bootstrap_is_reproducible_and_seeded():
    values = np.arange(30.0)
    groups = [str(i) for i in range(30)]
    assert bootstrap(values, groups, 200, seed=1) == bootstrap(values, groups, 200, seed=1)
    assert bootstrap(values, groups, 200, seed=1) != bootstrap(values, groups, 200, seed=2)


def test_one_group_falls_back_to_images():
    values = np.arange(30.0)
    assert bootstrap(values, ["one"] * 30, 200, seed=1) == bootstrap(values, [f"{i:02d}" for i in range(30)], 200, 1)
    assert bootstrap([3.0], ["one"], 200, seed=1) == (3, 3, 3)


def test_bootstrap_wants_a_group_a_value():
    for values, groups in (([], []), ([1.0, 2.0], ["a"]), ([[1.0]], ["a"])):
        with pytest.raises(MetricError, match="one group a value"):
            bootstrap(values, groups, 10, seed=0)
