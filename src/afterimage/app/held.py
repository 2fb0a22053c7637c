"""What the server holds of its visitors, all of it in memory and within bounds, and when it lets go.

Streamlit's own stores have no bounds, let go when somebody else comes, and name media by a hash of their content.
"""

import asyncio
import hashlib
import secrets
from typing import Any

from starlette.exceptions import HTTPException
from streamlit import runtime
from streamlit.runtime.media_file_storage import MediaFileKind
from streamlit.runtime.memory_media_file_storage import MemoryFile, MemoryMediaFileStorage
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.session_manager import SessionInfo, SessionStorage
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

MAX_UPLOADED_MEGABYTES = 1000
"""Of all visitors together."""
MAX_UPLOADED_MEGABYTES_EACH = 300
"""Of one visitor: a batch and a few files more."""
MAX_UPLOADED_FILES_EACH = 100
MAX_AWAY = 16
"""Visitors who are remembered after their connection was lost."""
AWAY_SECONDS = 120
"""That they are remembered; then all that they sent and all that was made for them is forgotten."""


class Uploads(MemoryUploadedFileManager):
    """Uploaded files, as many as fit."""

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        """Keep a file.

        Raises:
            HTTPException: too much is held already, of this visitor or of all.
        """
        mine = self.file_storage.get(session_id, {})
        if len(mine) >= MAX_UPLOADED_FILES_EACH:
            raise HTTPException(413, f"{len(mine)} files are as many as are kept for a visitor.")
        size = len(file.data)
        if sum(len(each.data) for each in mine.values()) + size > MAX_UPLOADED_MEGABYTES_EACH * 1_000_000:
            raise HTTPException(413, f"More than the {MAX_UPLOADED_MEGABYTES_EACH} MB kept for a visitor.")
        if self._total_bytes + size > MAX_UPLOADED_MEGABYTES * 1_000_000:
            raise HTTPException(503, "The server is full of other visitors' files; try again in a minute.")
        super().add_file(session_id, file)


class Media(MemoryMediaFileStorage):
    """Pictures, clips and downloads under addresses that nobody can guess, not even who knows the content."""

    def __init__(self, endpoint: str):
        super().__init__(endpoint)
        self._key = secrets.token_bytes(32)

    def load_and_get_id(
        self, path_or_data: str | bytes, mimetype: str, kind: MediaFileKind, filename: str | None = None
    ) -> str:
        """Keep a file; the same one has the same id as long as the server runs."""
        data = self._read_file(path_or_data) if isinstance(path_or_data, str) else path_or_data
        about = f"{len(data)}:{mimetype}:{filename}:"
        file_id = hashlib.blake2b(about.encode() + data, digest_size=16, key=self._key).hexdigest()
        self._files_by_id.setdefault(file_id, MemoryFile(data, mimetype, kind, filename))
        return file_id


class Away(SessionStorage):
    """Sessions without a connection, for as long as a lost connection may come back."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[SessionInfo, asyncio.TimerHandle]] = {}

    def get(self, session_id: str) -> SessionInfo | None:
        info, _ = self._held.get(session_id, (None, None))
        return info

    def save(self, session_info: SessionInfo) -> None:
        id = session_info.session.id
        self._held[id] = (session_info, asyncio.get_running_loop().call_later(AWAY_SECONDS, self._forget, id))
        while len(self._held) > MAX_AWAY:
            self._forget(next(iter(self._held)))

    def delete(self, session_id: str) -> None:
        if session_id in self._held:
            self._held.pop(session_id)[1].cancel()

    def list(self) -> list[SessionInfo]:
        return [info for info, _ in self._held.values()]

    def _forget(self, session_id: str) -> None:
        info, timer = self._held.pop(session_id)
        timer.cancel()
        session: Any = info.session
        session.shutdown()
        session.session_state.clear()
        runtime.get_instance().media_file_mgr.remove_orphaned_files()  # a download is let go when found useless twice
