"""Starting the page: Streamlit, with what is safe and quiet chosen for it."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from afterimage.app.safety import MAX_MEGABYTES

HERE = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(project: Path, address: str, port: int) -> NoReturn:
    """Become the server of the page of a project."""
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MAX_MEGABYTES,
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "theme.base": HERE / "theme.toml",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    if address in LOOPBACK:  # a page elsewhere that gives this machine its own name must not reach what is served here
        words += [word for host in LOOPBACK for word in ("--server.allowedHosts", host)]
    os.environ["AFTERIMAGE_PROJECT"] = str(project.resolve())
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(HERE / "main.py"), *words])
