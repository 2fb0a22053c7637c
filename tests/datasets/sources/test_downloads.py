"""Files from elsewhere: kept, resumed, checked."""

from pathlib import Path
from typing import Any

import pytest
import servers
from packing import KINDS, add, fetch, here, packed, people, row, sha256, table  # noqa: F401 - a fixture

from afterimage.core.errors import SourceError
from afterimage.datasets.sources import downloads


def web(data: bytes) -> Any:
    return servers.serving(servers.files({"/sets/photos.zip": data}))


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return packed(tmp_path / "packed", "zip", people()).read_bytes()


def test_a_download_is_kept(data: bytes) -> None:
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip?signature=secret"
        assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24
        count = len(server.requests)
        fetch("x", url=url, sha256=sha256(data))
        assert len(server.requests) == count
    assert [path.name.partition("-")[2] for path in downloads.FOLDER.iterdir()] == ["photos.zip"]


def test_a_broken_download_goes_on_where_it_stopped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "BLOCK", 10_000)
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip"
        server.breaks = [10_000, 10_000, *[100] * downloads.TRIES]
        with pytest.raises(
            SourceError, match="run it again to go on where it stopped, or place the file at "
        ) as caught:
            fetch("x", url=url, sha256=sha256(data))
        assert "\n" not in str(caught.value)
        server.breaks = [100]  # and once more, now with a try left
        before = len(server.requests)
        assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24
        ranges = [request.headers["range"] for request in server.requests[before:] if request.method == "GET"]
    assert ranges[:3] == ["bytes=20000-29999", "bytes=20000-29999", "bytes=30000-39999"]


@pytest.mark.parametrize("sized", [True, False])
def test_a_server_that_cannot_begin_in_the_middle(data: bytes, monkeypatch: pytest.MonkeyPatch, sized: bool) -> None:
    monkeypatch.setattr(downloads, "BLOCK", 10_000)
    with web(data) as server:
        server.ranges, server.sized, server.breaks = False, sized, [15_000] if sized else []
        manifest, _ = fetch("x", url=f"{server.url}/sets/photos.zip", sha256=sha256(data))
    assert len(manifest) == 24


def test_another_file_than_the_row_says(data: bytes) -> None:
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip"
        with pytest.raises(
            SourceError, match=f"its sha256 is {sha256(data)}, expected 0.*; correct `sha256`, or remove"
        ):
            fetch("x", url=url, sha256="0" * 64)
        count = len(server.requests)
        assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24
        assert len(server.requests) == count


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, r"there is no such file \(any more\); find"),
        (403, r"access denied \(403\)"),
        (500, "cannot be downloaded"),
    ],
)
def test_a_file_that_is_not_to_be_had(status: int, expected: str) -> None:
    with servers.serving(lambda request: servers.Answer(status=status)) as server:
        url = server.url.replace("//", "//ann:secret@") + "/photos.zip?token=secret"
        with pytest.raises(SourceError, match=expected) as caught:
            fetch("x", url=url, sha256="0" * 64)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_network(data: bytes) -> None:
    with web(data) as server:
        url = f"{server.url}/sets/photos.zip"
    with pytest.raises(SourceError, match="cannot be downloaded: .*Connect.*, or place the file at (.*)$") as caught:
        fetch("x", url=url, sha256=sha256(data))
    place = Path(str(caught.value).rpartition(" ")[2])
    place.write_bytes(data)
    assert len(fetch("x", url=url, sha256=sha256(data))[0]) == 24


def test_other_kinds_of_url(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "packed" / "photos.zip"
    assert len(fetch("x", url=f"file://{path}", sha256=sha256(data))[0]) == 24
    with pytest.raises(SourceError, match="nothing://x/y.zip: cannot be opened: .*nothing"):
        fetch("x", url="nothing://x/y.zip", sha256="0" * 64)
