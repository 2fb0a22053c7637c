"""What the server and the sessions hold of visitors has bounds, is not on the disk, and goes when they go."""

import gc
import socket
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import visits
from benchmarks.visiting import Served, served, visiting
from PIL import Image
from starlette.exceptions import HTTPException
from streamlit.runtime.media_file_storage import MediaFileKind
from streamlit.runtime.memory_media_file_storage import _calculate_file_id
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from websockets.exceptions import ConnectionClosed

from afterimage.app import frame, held, kept, models, safety
from afterimage.app.places import Places
from afterimage.app.server import MAX_STATE_MEGABYTES
from afterimage.core.errors import AfterimageError


def file(name: str, size: int) -> UploadedFileRec:
    return UploadedFileRec(name, "a.png", "image/png", bytes(size))


def test_uploads_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MAX_UPLOADED_MEGABYTES_EACH", 3)
    monkeypatch.setattr(held, "MAX_UPLOADED_MEGABYTES", 5)
    monkeypatch.setattr(held, "MAX_UPLOADED_FILES_EACH", 4)
    uploads = held.Uploads("/upload")
    for name in "abc":
        uploads.add_file("one", file(name, 1_000_000))
    with pytest.raises(HTTPException, match="413: More than the 3 MB kept for a visitor"):
        uploads.add_file("one", file("d", 1))
    uploads.add_file("two", file("a", 1_500_000))
    with pytest.raises(HTTPException, match="503: The server is full"):
        uploads.add_file("two", file("b", 1_000_000))
    uploads.remove_file("one", "a")
    uploads.add_file("two", file("b", 1_000_000))
    for name in "abcd":
        uploads.add_file("three", file(name, 0))
    with pytest.raises(HTTPException, match="413: 4 files are as many"):
        uploads.add_file("three", file("e", 0))


def test_nobody_can_guess_the_address_of_a_picture() -> None:
    one, two = held.Media("/media"), held.Media("/media")
    about = (b"data", "image/png", MediaFileKind.MEDIA)
    first = one.load_and_get_id(*about)
    assert first == one.load_and_get_id(*about)
    assert first not in (two.load_and_get_id(*about), _calculate_file_id(b"data", "image/png"))
    assert one.get_file(f"{first}.png").content == b"data"


def test_large_files_that_differ_have_addresses_that_differ() -> None:
    """Streamlit's are of samples of them, so that a visitor could get another's file."""
    media = held.Media("/media")
    one, two = bytes(3_000_000), bytearray(3_000_000)
    two[700_000] = 1
    ids = {media.load_and_get_id(bytes(data), "image/png", MediaFileKind.MEDIA) for data in (one, two)}
    assert len(ids) == 2


# What is made for a visitor


@pytest.fixture
def visitor(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The state of a session, which others can take the place of."""
    gc.collect()  # of visitors of tests before
    state: dict[str, object] = {}
    monkeypatch.setattr(kept.st, "session_state", state)
    return state


def test_the_longest_unused_is_forgotten_whosever_it_is(
    visitor: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept.held()
    monkeypatch.setattr(kept, "MAX_MEGABYTES_EACH", 2)
    monkeypatch.setattr(kept, "MAX_MEGABYTES", before / 1e6 + 3)
    for key in ("a", "b", "a", "c"):
        kept.once("group", "mine", key, lambda: bytes(900_000))
    assert [kept.find("group", "mine", key) is not None for key in "abc"] == [True, False, True]
    mine = dict(visitor)
    visitor.clear()  # somebody else
    for key in "xy":
        kept.put("group", "theirs", key, bytes(900_000))
    assert kept.held() - before <= 3_000_000
    assert kept.find("group", "theirs", "y") is not None
    assert kept.find("group", "mine", "a") is None  # they do not see what is not theirs
    visitor.update(mine)
    assert [kept.find("group", "mine", key) is not None for key in "ac"] == [False, True]
    mine.clear()
    visitor.clear()
    del mine
    assert kept.held() <= before + 1_800_000  # what was the first visitor's went with the session


def test_of_another_picture_nothing_is_kept(visitor: dict[str, object]) -> None:
    kept.put("picture", "one", "a", 1)
    kept.put("read", "file", "a", 2)
    kept.put("picture", "two", "b", 3)
    assert [kept.find("picture", "one", "a"), kept.find("picture", "two", "b"), kept.find("read", "file", "a")] == [
        None,
        3,
        2,
    ]


def test_sizes_are_those_of_pictures_inside() -> None:
    picture = safety.of("a", Image.new("RGB", (1000, 1000)))
    assert sum(kept.sizes(picture).values()) == 3_000_000
    made = models.Made((np.zeros((10, 1000, 1000, 3), np.uint8), [picture.image, picture.image]), 1.0)
    assert sum(kept.sizes((made, picture)).values()) == 33_000_000


def test_a_download_holds_on_to_no_picture(visitor: dict[str, object]) -> None:
    image = Image.new("RGB", (40, 40))
    gone = weakref.ref(image)
    kept.put("picture", "one", "shown", (image,))
    data = kept.later("picture", "one", "shown", lambda images: images[0].tobytes())
    assert data() == image.tobytes()
    del image
    kept.put("picture", "two", "shown", ())
    assert gone() is None
    with pytest.raises(AfterimageError, match=r"^This result is no longer kept here"):
        data()


def test_runs_wait_for_a_place_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "MAX_WAIT_SECONDS", 1)
    tickets = [frame.PLACES.enter() for _ in range(frame.RUNS)]
    assert all(ticket.is_set() for ticket in tickets)
    try:
        test = visits.page("Inpaint", monkeypatch, tmp_path)
        assert visits.said(test.error) == ["Too many visitors are at work here; try again in a minute."]
        assert not test.segmented_control
    finally:
        for ticket in tickets:
            frame.PLACES.leave(ticket)
    test.run()
    assert not test.error
    assert test.segmented_control


def test_places_are_given_in_the_order_in_which_visitors_came() -> None:
    places = Places(1)
    first, second, third, fourth = (places.enter() for _ in range(4))
    assert [ticket.is_set() for ticket in (first, second, third)] == [True, False, False]
    assert [places.ahead(ticket) for ticket in (first, second, fourth)] == [0, 0, 2]
    assert places.waiting() == 3
    places.leave(second)  # waits no more
    places.leave(first)
    assert [ticket.is_set() for ticket in (third, fourth)] == [True, False]


# The server


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "project").mkdir()
    change = "from afterimage.app import held; held.AWAY_SECONDS = 1; held.MAX_UPLOADED_FILES_EACH = 3; "
    with served(folder / "project", folder / "home", change=change) as found:
        yield found


def test_uploads_are_never_served(page: Served) -> None:
    with visiting(page) as visitor:
        visitor.run()
        for name, kind in (("a.svg", "image/svg+xml"), ("../../a.html", "text/html")):
            assert visitor.send(b"<script>", name, kind, file="mine").status == 204
        empty = page.ask("/anything").body  # what Streamlit answers to any path
        assert page.ask(f"/_stcore/upload_file/{visitor.session}/mine").body == empty
        for path in ("mine", "mine.svg", "a.svg", f"{visitor.session}/mine"):
            assert page.ask(f"/media/{path}").status == 404


def test_a_file_that_is_too_large_is_refused_as_soon_as_it_says_so(page: Served) -> None:
    with visiting(page) as visitor:
        visitor.run()
        head = (
            f"PUT /_stcore/upload_file/{visitor.session}/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000000\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nCookie: {visitor.cookie}\r\n"
            f"X-Xsrftoken: {visitor.token}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
            connection.sendall(head.encode())
            heard = b""
            while part := connection.recv(4096):
                heard += part
        assert b" 413 " in heard


def test_what_is_received_is_not_on_the_disk(page: Served) -> None:
    home = page.log.parent / "home"
    with visiting(page) as visitor:
        visitor.run()
        head = (
            f"PUT /_stcore/upload_file/{visitor.session}/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nCookie: {visitor.cookie}\r\n"
            f"X-Xsrftoken: {visitor.token}\r\n\r\n--x\r\n"
            'Content-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        )
        with socket.create_connection(("127.0.0.1", page.port), timeout=10) as connection:
            connection.sendall(head.encode() + bytes(10_000_000))
            time.sleep(1)
            folder = Path(f"/proc/{page.process.pid}/fd")
            links = [link.readlink() for link in folder.iterdir()]
            assert len(links) > 5
            assert [link for link in links if link.is_relative_to(home)] == []
        assert visitor.send(bytes(5_000_000)).status == 204
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert list((page.log.parent / "project").iterdir()) == []


def test_more_files_than_a_visitor_can_use_are_refused_and_a_visitor_who_left_is_forgotten(page: Served) -> None:
    with visiting(page) as visitor:
        visitor.run()
        before = page.memory()
        sent = [visitor.send(bytes([number]) * 24_000_000).status for number in range(4)]
        assert sent == [204, 204, 204, 413]
        full = page.memory()
        assert full > before + 60
    for _ in range(40):
        time.sleep(0.25)
        if page.memory() < full - 60:
            break
    assert page.memory() < full - 60  # without anybody else having come


def test_a_message_that_is_too_large_ends_the_connection(page: Served) -> None:
    assert MAX_STATE_MEGABYTES < 5
    with visiting(page) as visitor:
        visitor.run()
        with pytest.raises(ConnectionClosed):
            visitor.socket.send(bytes(5_000_000))
            visitor.socket.recv(timeout=10)
