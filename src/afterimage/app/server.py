"""Starting the page: Streamlit's parts, with what is safe and quiet chosen for each."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from afterimage.app.safety import MAX_MEGABYTES

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HERE = Path(__file__).parent
MAX_MESSAGE_MEGABYTES = 50
"""Of what the page tells a browser at a time: two pictures."""
MAX_STATE_MEGABYTES = 4
"""Of what a browser tells the page at a time: a drawing."""
M_MMAP_THRESHOLD = -3
"""A number of glibc's malloc.h."""
PING_SECONDS = 20
"""After so long a connection is asked for a sign of life; after as long without one it is cut."""


def serve(project: Path, address: str, port: int, hosts: Sequence[str]) -> None:
    """Serve the page of a project until the process is told to stop.

    Args:
        hosts: names by which the page may be called, beside addresses and `localhost`.
    """
    import uvicorn

    from afterimage.app import guard

    _return_memory()
    os.environ["AFTERIMAGE_PROJECT"] = str(project.resolve())
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.enableStaticServing": False,
        "server.maxUploadSize": MAX_MEGABYTES,
        "server.maxMessageSize": MAX_MESSAGE_MEGABYTES,
        "server.maxWidgetStateSize": MAX_STATE_MEGABYTES,
        "browser.gatherUsageStats": False,
        "client.allowedOrigins": [],
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "theme.base": str(HERE / "theme.toml"),
    }
    config = uvicorn.Config(
        guard.Guard(page(options), hosts),
        host=address,
        port=port,
        http=guard.Protocol,
        ws="websockets-sansio",
        ws_max_size=MAX_STATE_MEGABYTES * 1_000_000,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()


def _return_memory() -> None:
    """Have the pictures that are let go return to the system, of which glibc would keep those below 32 MB."""
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        allocator.mallopt(M_MMAP_THRESHOLD, 1 << 20)


def page(options: dict[str, object]) -> "ASGIApp":
    """The page as Streamlit serves it, with stores of ours: without bounds on who asks."""
    from starlette.formparsers import MultiPartParser
    from streamlit.runtime import Runtime, RuntimeConfig
    from streamlit.web import bootstrap
    from streamlit.web.server.server import MEDIA_ENDPOINT, UPLOAD_FILE_ENDPOINT
    from streamlit.web.server.starlette import create_starlette_app

    from afterimage.app import held

    bootstrap.load_config_options(options)
    MultiPartParser.spool_max_size = 2 * MAX_MEGABYTES * 1_000_000  # what is received stays in memory
    return create_starlette_app(
        Runtime(
            RuntimeConfig(
                script_path=str(HERE / "main.py"),
                media_file_storage=held.Media(MEDIA_ENDPOINT),
                uploaded_file_manager=held.Uploads(UPLOAD_FILE_ENDPOINT),
                session_storage=held.Away(),
            )
        )
    )
