import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import servers
from kagglehub import clients
from kagglesdk import kaggle_env

from afterimage.core import params
from afterimage.core.errors import ParamsError, SourceError
from afterimage.datasets import sources
from afterimage.datasets.sources import downloads

DATASET = "ann/faces/versions/3"
DOWNLOAD = "datasets.DatasetApiService/DownloadDataset"
DOWNLOAD_FILES = "competitions.CompetitionApiService/DownloadDataFiles"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(downloads, "WAIT", 0)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "home" / ".kaggle"))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_V1_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def photos(**more: bytes) -> bytes:
    return zipped({f"photos/{n}.png": pictures.png(seed=n) for n in range(24)} | more)


@pytest.fixture
def kaggle() -> servers.Kaggle:
    return servers.Kaggle(DOWNLOAD, photos())


@pytest.fixture
def server(kaggle: servers.Kaggle, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Server]:
    """The real client, told that Kaggle is on this machine."""
    with servers.serving(kaggle) as server:
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, server.url)
        yield server


def row(**values: Any) -> Any:
    where = {} if "competition" in values else {"dataset": DATASET}
    data = {"source": "kaggle", "size": 32, "path": "nothing", **where, **values}
    return sources.Dataset.kind_of(data).model_validate(data)


def fetch(**values: Any) -> dict[str, dict[str, str]]:
    sources.fetch(row(**values), "mine", Path("raw"))
    with Path("raw/manifest.csv").open(encoding="utf-8", newline="") as stream:
        return {line["key"]: line for line in csv.DictReader(stream)}


def fault(**values: Any) -> str:
    with pytest.raises(SourceError) as caught:
        fetch(**values)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return str(caught.value)


def test_a_data_set(kaggle: servers.Kaggle, server: servers.Server) -> None:
    assert len(fetch()) == 24
    assert kaggle.wanted == {"ownerSlug": "ann", "datasetSlug": "faces", "datasetVersionNumber": 3}
    count = len(server.requests)
    assert len(fetch()) == 24
    assert len(server.requests) == count
    assert [path.name.partition("-")[2] for path in downloads.FOLDER.iterdir()] == ["ann-faces-versions-3.archive"]


def test_a_competition_with_boxes(kaggle: servers.Kaggle, server: servers.Server) -> None:
    kaggle.call = DOWNLOAD_FILES
    kaggle.data = zipped(
        {f"train/{n}.png": pictures.png(256, 256, seed=n) for n in range(24)}
        | {"test_masked/1.png": pictures.png(256, 256, seed=99)}
        | {"boxes.csv": b"image,x1,y1,x2,y2\n" + b"".join(b"%d.png,10,20,150,160\n" % n for n in range(24))}
    )
    corners = [["x1", "y1", "+75", "+75"], ["x2", "y2", "+75", "+75"]]
    boxes = {"table": "boxes.csv", "image": "image", "corners": corners}
    manifest = fetch(competition="photo-reconstruction", boxes=boxes, only="^train/", group="image")
    assert kaggle.wanted == {"competitionName": "photo-reconstruction"}
    assert len(manifest) == 24
    assert {line["boxes"] for line in manifest.values()} == {"10 20 85 95; 150 160 225 235"}


def test_videos_of_faces(kaggle: servers.Kaggle, server: servers.Server) -> None:
    def video(seed: int) -> bytes:
        stream = io.BytesIO()
        frames = np.stack([np.asarray(pictures.noise(seed=seed + n)) for n in range(2)], axis=-1)
        np.savez_compressed(stream, colorImages=frames, boundingBox=np.ones((4, 2, 2)))
        return stream.getvalue()

    kaggle.data = zipped({f"faces_{n % 2}/Person{n // 2:02d}_{n % 2}.npz": video(10 * n) for n in range(30)})
    manifest = fetch(arrays={"boxes": "boundingBox"}, group=r"([^/]+)_\d+\.npz$")
    assert len(manifest) == 60
    assert manifest["faces_1--Person07_1--000001"]["group"] == "Person07"


def test_pairs_of_bedrooms(kaggle: servers.Kaggle, server: servers.Server) -> None:
    kaggle.data = zipped(
        {f"train/original_images/bed_{n}.jpg": pictures.jpeg(seed=n) for n in range(24)}
        | {f"train/occluded_images/occluded_bed_{n}.jpg": pictures.jpeg(seed=100 + n) for n in range(24)}
    )
    pairs = {"input": "occluded_images/occluded_(.*)", "target": "original_images/(.*)"}
    manifest = fetch(pairs=pairs, group="image")
    assert manifest["train--occluded_images--occluded_bed_3"]["target"] == "train--original_images--bed_3"


def test_a_broken_download_goes_on(
    kaggle: servers.Kaggle, server: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "CHUNK_SIZE", 1000)  # of Kaggle's client: what it writes at once
    server.breaks = [1000, 1000]
    assert len(fetch()) == 24
    assert "bytes=1000-" in server.asked("GET")


def test_a_download_that_keeps_breaking(server: servers.Server) -> None:
    server.breaks = [0] * 99
    text = fault()
    assert "Kaggle cannot be reached: " in text
    assert "run it again to go on where it stopped, or place the archive of " in text
    assert len(server.asked("POST")) == downloads.TRIES
    server.breaks = []
    assert len(fetch()) == 24


@pytest.mark.parametrize(
    ("status", "values", "expected"),
    [
        (401, {}, "Kaggle does not know these credentials (401): create a new token"),
        (403, {}, "not for this account (403): ask for access or accept its terms on "),
        (403, {"competition": "photos"}, "/competitions/photos/rules"),
        (404, {}, "there is no such data set, version or competition (404): see "),
        (429, {}, "too many requests (429)"),
        (500, {}, "Kaggle answers 500"),
    ],
)
def test_what_kaggle_refuses(
    kaggle: servers.Kaggle, server: servers.Server, status: int, values: dict[str, Any], expected: str
) -> None:
    kaggle.status = status
    kaggle.call = DOWNLOAD_FILES if values else DOWNLOAD
    assert expected in fault(**values)


def test_missing_credentials(server: servers.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    assert (
        "no Kaggle credentials: create a token on kaggle.com under Settings, API, and set KAGGLE_API_TOKEN" in fault()
    )
    assert server.requests == []
    (tmp_path / "home" / ".kaggle").mkdir(parents=True)
    (tmp_path / "home" / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "ann"}))
    assert "kaggle.json is missing 'key' key" in fault()


def test_no_network(server: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, "http://127.0.0.1:1")
    text = fault()
    assert "Kaggle cannot be reached: " in text
    place = Path(text.rpartition(" ")[2])
    place.write_bytes(photos())
    assert len(fetch()) == 24


def test_another_archive_than_the_row_says(server: servers.Server) -> None:
    text = fault(sha256="0" * 64)
    assert "its sha256 is " in text
    assert "; correct `sha256`, or remove .afterimage/downloads/" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dataset: ann/faces", "'ann/faces': expected <owner>/<name>/versions/<number>"),
        ("competition: ann/faces", "expected the name of a competition"),
        ("dataset: a/b/versions/1, competition: c", "expected either `dataset` or `competition`"),
        ("group: image", "expected either `dataset` or `competition`"),
    ],
)
def test_faults_of_a_row(text: str, expected: str) -> None:
    Path("params.yaml").write_text(f"datasets:\n  mine: {{source: kaggle, path: p, size: 8, {text}}}\n")
    with pytest.raises(ParamsError) as caught:
        params.row(Path("params.yaml"), "datasets", "mine", sources.Dataset)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
