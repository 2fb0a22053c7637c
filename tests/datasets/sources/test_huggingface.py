import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pictures
import pyarrow as pa
import pytest
import servers
from huggingface_hub import constants
from pyarrow import parquet

from afterimage.core import params
from afterimage.core.errors import ParamsError, SourceError
from afterimage.datasets import sources

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "ann/faces"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))


def shard(seeds: list[int], people: bool = True, **columns: Any) -> bytes:
    """A parquet file as the hub's own tools write it, some rows a row group."""
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["cat", "dog"]},
        "person": {"dtype": "string", "_type": "Value"},
    }
    table = pa.table(
        {
            "image": [{"bytes": pictures.png(seed=seed), "path": None} for seed in seeds],
            "label": [seed % 2 for seed in seeds],
            "person": [f"person{seed // 2:02d}" for seed in seeds],
            **columns,
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    parquet.write_table(table, stream, row_group_size=5)
    return stream.getvalue()


@pytest.fixture
def hub() -> servers.Hub:
    return servers.Hub(
        ID,
        COMMIT,
        {
            "README.md": b"# Faces",
            "data/train-00000-of-00002.parquet": shard(list(range(20))),
            "data/train-00001-of-00002.parquet": shard(list(range(20, 43))),
            "data/validation-00000-of-00001.parquet": shard([500, 501]),
        },
    )


@pytest.fixture
def server(hub: servers.Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Server]:
    with servers.serving(hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def row(**values: Any) -> Any:
    data: dict[str, Any] = {"source": "huggingface", "size": 32, "path": "nothing", "id": ID, "revision": COMMIT}
    data |= {"splits": ["train", "validation"], **values}
    return sources.Dataset.kind_of(data).model_validate(data)


def fetch(**values: Any) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    sources.fetch(row(**values), "mine", Path("raw"))
    rejected = {line["origin"]: line["reason"] for line in table("rejected.csv")}
    return {line["key"]: line for line in table("manifest.csv")}, rejected


def table(name: str) -> list[dict[str, str]]:
    with (Path("raw") / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def fault(**values: Any) -> str:
    with pytest.raises(SourceError) as caught:
        fetch(**values)
    assert "\n" not in str(caught.value)
    assert not Path("raw").exists()
    return str(caught.value)


def test_a_data_set_of_the_hub(server: servers.Server) -> None:
    manifest, rejected = fetch(label="label", group="person")
    assert rejected == {}
    assert len(manifest) == 45
    line = manifest["train--00001--0000003"]
    assert line["origin"] == "data/train-00001-of-00002.parquet row 3"
    assert (line["label"], line["group"]) == ("dog", "person11")
    assert line["bytes"] == str(len(pictures.png(seed=23)))
    assert {key for key, line in manifest.items() if line["split"] == "val"} == {
        "validation--00000--0000000",
        "validation--00000--0000001",
    }
    assert {line["split"] for line in manifest.values()} == set(sources.SPLITS)
    people: dict[str, set[str]] = {}
    for line in manifest.values():
        people.setdefault(line["group"], set()).add(line["split"])
    assert all(len(splits) == 1 for splits in people.values())


def test_each_image_stands_alone_by_default(server: servers.Server) -> None:
    manifest, _ = fetch()
    assert manifest["train--00000--0000007"]["group"] == "train/00000/0000007"
    assert manifest["train--00000--0000007"]["label"] == ""


def test_files_are_downloaded_once(server: servers.Server) -> None:
    fetch(splits=["train"])
    assert not any("validation" in request.path for request in server.requests)
    server.requests.clear()
    fetch(splits=["train"])
    assert server.asked("GET") == ["all"]  # what the data set is, not its files


def test_a_broken_download_goes_on(server: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # of the hub's client: what it writes at once
    server.breaks = [1000]
    assert len(fetch()[0]) == 45
    assert "bytes=1000-" in server.asked("GET")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"revision": "f" * 40}, f"{ID}: the data set has no commit {'f' * 40} (any more): pick one on "),
        ({"id": "ann/nothing"}, "ann/nothing: the hub has no such data set, or shows it to some accounts only: "),
        ({"splits": ["test"]}, "no parquet files of split test at this commit in `folder` '': there are train, valid"),
        ({"folder": "raw"}, "in `folder` 'raw': it has no parquet files; see its branch refs/convert/parquet"),
        ({"column": "picture"}, "data/train-00000-of-00002.parquet: no column picture; there are image, label, person"),
        ({"group": "name"}, "data/train-00000-of-00002.parquet: no column name"),
        ({"column": "label"}, "column label is int64, expected images as bytes"),
    ],
)
def test_a_row_that_does_not_fit_the_hub(server: servers.Server, values: dict[str, Any], expected: str) -> None:
    assert expected in fault(**values)


def test_a_data_set_that_has_moved(hub: servers.Hub, server: servers.Server) -> None:
    hub.moved = "bob/people"
    assert fault() == f"{ID}: this data set is now bob/people: put that in `id`"
    assert len(fetch(id="bob/people")[0]) == 45


@pytest.mark.parametrize("gated", [True, False])
def test_a_token_from_the_environment(
    hub: servers.Hub, server: servers.Server, monkeypatch: pytest.MonkeyPatch, gated: bool
) -> None:
    hub.token, hub.gated = "hf_secret", gated
    expected = "this data set is gated: ask for access on " if gated else "or shows it to some accounts only"
    text = fault()
    assert expected in text
    assert "HF_TOKEN" in text
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert len(fetch()[0]) == 45


def test_no_network(server: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached: " in fault()


def test_files_that_are_not_what_the_hub_says(hub: servers.Hub, server: servers.Server) -> None:
    name = "data/train-00001-of-00002.parquet"
    hub.altered[name] = hub.held[name][:-1] + b"x"
    assert f"{ID}: {name}: its sha256 is " in fault()


def test_a_file_that_is_no_parquet(hub: servers.Hub, server: servers.Server) -> None:
    hub.held["data/train-00000-of-00002.parquet"] = b"words"
    assert "data/train-00000-of-00002.parquet: not a parquet file that can be read: " in fault()


def test_rows_without_an_image_are_set_aside(hub: servers.Hub, server: servers.Server) -> None:
    images = [None, {"bytes": b"words", "path": "a.png"}, {"bytes": None, "path": "b.png"}]
    hub.held["data/train-00001-of-00002.parquet"] = shard([1, 2, 3], image=images)
    _, rejected = fetch(max_rejected=0.2)
    assert rejected == {
        "data/train-00001-of-00002.parquet row 0": "the row holds no image",
        "data/train-00001-of-00002.parquet row 1": "not an image in a known format",
        "data/train-00001-of-00002.parquet row 2": "the row holds no image",
    }


def test_the_layouts_of_the_hub(hub: servers.Hub, server: servers.Server) -> None:
    whole = shard(list(range(40)))
    plain = pa.table({"image": [pictures.png(seed=seed) for seed in range(40)]})
    stream = io.BytesIO()
    parquet.write_table(plain, stream)
    hub.held = {
        "default/train/0000.parquet": whole,
        "small/train/0000.parquet": stream.getvalue(),
        "other/train-00000-of-00001-0123456789abcdef.parquet": whole,
    }
    assert "split train lies in default and other and small: name one in `folder`" in fault(splits=["train"])
    for folder in ("default", "small", "other/"):
        assert len(fetch(splits=["train"], folder=folder)[0]) == 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("revision: main", "`datasets.mine.revision`: 'main': expected the 40 hexadecimal digits of a commit"),
        ("id: a/b/c", "`datasets.mine.id`: 'a/b/c': expected <owner>/<name>"),
        ("splits: []", "`datasets.mine.splits`: []: expected one or more splits"),
    ],
)
def test_faults_of_a_row(text: str, expected: str) -> None:
    values = {"id": "a/b", "revision": COMMIT, "splits": "[train]"}
    name, value = text.split(": ")
    listed = ", ".join(f"{key}: {held}" for key, held in {**values, name: value}.items())
    Path("params.yaml").write_text(f"datasets:\n  mine: {{source: huggingface, path: p, size: 8, {listed}}}\n")
    with pytest.raises(ParamsError) as caught:
        params.row(Path("params.yaml"), "datasets", "mine", sources.Dataset)
    assert expected in str(caught.value)
