"""The server in hostile hands, asked without a browser: foreign names and pages, slow clients, too many of them."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from benchmarks.visiting import Served, served, visiting
from websockets.exceptions import InvalidStatus

from afterimage.app import guard


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "project").mkdir()
    with served(folder / "project", folder / "home", "--host", "Faces.example.org") as found:
        yield found


PATHS = ("/", "/inpaint", "/_stcore/health", "/_stcore/host-config", "/media/a.png", "/static/js/a.js")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@localhost"]
)
def test_a_host_of_another_name_is_refused(page: Served, path: str, host: str) -> None:
    answer = page.ask(path, Host=host)
    assert (answer.status, b"afterimage app --host NAME" in answer.body) == (421, True)
    assert len(answer.body.splitlines()) == 1


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8501", "127.0.0.1", "[::1]:8501", "192.0.2.7:80", "faces.example.org."]
)
def test_its_own_names_and_addresses_are_answered(page: Served, host: str) -> None:
    assert page.ask("/", Host=host).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "file://"])
def test_another_page_is_refused(page: Served, path: str, origin: str) -> None:
    answer = page.ask(path, Origin=origin)
    assert (answer.status, answer.body) == (403, b"This page answers no other pages.")
    with pytest.raises(InvalidStatus), visiting(page, Origin=origin):
        pass


def test_what_another_page_embeds_is_refused_and_what_it_links_to_is_not(page: Served) -> None:
    for site in ("cross-site", "same-site"):  # another port of this machine is of the same site
        assert page.ask("/media/a.png", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert page.ask("/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
    assert page.ask("/_stcore/health", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").status == 200


def test_its_own_pages_are_answered_behind_a_proxy_too(page: Served) -> None:
    for origin in (f"http://{page.host}", "https://faces.example.org"):
        assert page.ask("/_stcore/health", Origin=origin).status == 200
        with visiting(page, Origin=origin) as visitor:
            assert visitor.run()


def test_a_foreign_origin_makes_the_server_ask_nobody(page: Served) -> None:
    """Streamlit asks a site for this machine's address, to compare it with an origin that it does not know."""
    with pytest.raises(InvalidStatus), visiting(page, Origin="http://evil.example"):
        pass
    assert "external IP" not in page.log.read_text(encoding="utf-8")


def test_what_the_page_does_not_need_is_not_there(page: Served) -> None:
    for path in ("/_stcore/metrics", "/_stcore/agent/openapi.json"):
        assert page.ask(path).status == 404
    assert b'"allowedOrigins":[]' in page.ask("/_stcore/host-config").body


def test_answers_say_what_browsers_must_not_do(page: Served) -> None:
    for path, policy in (("/", guard.POLICY), ("/media/a.png", "sandbox"), ("/static/no.js", guard.POLICY)):
        headers = page.ask(path).headers
        assert headers["content-security-policy"] == policy
        assert {name.lower(): value for name, value in guard.HEADERS.items()}.items() <= headers.items()


def test_an_upload_needs_the_token_of_the_page_and_a_session(page: Served) -> None:
    with visiting(page) as visitor:
        visitor.run()
        assert visitor.send(b"x").status == 204
        visitor.token = ""
        assert visitor.send(b"x").status == 403
    with visiting(page) as other:
        other.session = "00000000-0000-0000-0000-000000000000"
        assert other.send(b"x").status == 400


# Slow clients


def refused_after(page: Served, said: bytes, seconds: float) -> bytes:
    """What a client hears who sends something, and a byte each half second from then on."""
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        connection.sendall(said)
        connection.settimeout(0.5)
        heard, started = b"", time.monotonic()
        while time.monotonic() - started < seconds:
            try:
                part = connection.recv(4096)
                if not part:
                    return heard
                heard += part
            except TimeoutError:
                connection.sendall(b"x")
            except OSError:
                return heard
    raise AssertionError(f"still connected after {seconds} s")


@pytest.fixture
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page with limits that a test has time for."""
    folder = tmp_path_factory.mktemp("hurried")
    (folder / "project").mkdir()
    change = (
        "from afterimage.app import guard, held; guard.HEADER_SECONDS = guard.STALL_SECONDS = 2; "
        "guard.UPLOAD_SECONDS = 4; guard.MAX_SESSIONS = 3; guard.MAX_CONNECTIONS = 20; held.AWAY_SECONDS = 1; "
    )
    with served(folder / "project", folder / "home", change=change) as found:
        yield found


def test_slow_clients_are_cut_off(hurried: Served) -> None:
    assert refused_after(hurried, b"", 10) == b""
    assert refused_after(hurried, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 10) == b""
    with visiting(hurried) as visitor:
        visitor.run()
        head = (
            f"PUT /_stcore/upload_file/{visitor.session}/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nCookie: {visitor.cookie}\r\n"
            f"X-Xsrftoken: {visitor.token}\r\n\r\n"
        )
        heard = refused_after(hurried, head.encode() + b"--x\r\n", 15)
        assert b" 408 " in heard
        assert heard.endswith(b"The upload takes too long.")
        assert visitor.run()


def test_more_visitors_than_places_read_so(hurried: Served) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(visiting(hurried)).run()
        answer = hurried.ask("/restore")
        assert (answer.status, answer.body) == (
            503,
            b"All 3 places on this page are taken; try again in a minute.",
        )
        with pytest.raises(InvalidStatus), visiting(hurried):
            pass
        assert hurried.ask("/_stcore/health").status == 200
    time.sleep(0.5)
    assert hurried.ask("/restore").status == 200


def test_more_connections_than_places_are_dropped(hurried: Served) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", hurried.port))) for _ in range(40)]
        time.sleep(0.5)
        dropped = 0
        for connection in held:
            connection.setblocking(False)
            try:
                dropped += connection.recv(1) == b""
            except BlockingIOError:
                pass
            except OSError:
                dropped += 1
        assert dropped == 20
    time.sleep(0.5)
    assert hurried.ask("/_stcore/health").status == 200
