"""Servers on this machine that DVC can have its remote on: one that speaks SSH, which can go wrong, and one like S3."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh


class Ssh:
    """A server of files under a folder, for one user with a key.

    Attributes:
        port: of this machine.
        breaks: after how many bytes written each of the next connections breaks off.
        key, known_hosts: files of the user: the private key, and the one with the server's key.
    """

    def __init__(self, root: Path, files: Path):
        self.root, self.key, self.known_hosts = root, files / "id_ed25519", files / "known_hosts"
        self.port = 0
        self.breaks: list[int] = []
        self._lock = threading.Lock()

    def wrote(self, connection: asyncssh.SSHServerConnection, count: int) -> None:
        """Break a connection off if that is what is to happen."""
        with self._lock:
            if self.breaks:
                self.breaks[0] -= count
                if self.breaks[0] < 0:
                    self.breaks.pop(0)
                    connection.abort()
                    raise asyncssh.SFTPConnectionLost("broken off")


@contextmanager
def ssh(root: Path, files: Path) -> Iterator[Ssh]:
    """An SSH server with the files of `root`; keys go into the folder `files`."""
    server = Ssh(root, files)
    for folder in (root, files):
        folder.mkdir(parents=True, exist_ok=True)
    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    user.write_private_key(str(server.key))
    user.write_public_key(str(files / "authorized_keys"))

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: asyncssh.SSHServerChannel[bytes]):
            super().__init__(channel, chroot=bytes(root))
            self._connection = channel.get_connection()

        def write(self, file: Any, offset: int, data: bytes) -> Any:
            server.wrote(self._connection, len(data))
            return super().write(file, offset, data)

    async def listen() -> asyncssh.SSHAcceptor:
        keys = str(files / "authorized_keys")
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=keys, sftp_factory=Files
        )

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    server.port = acceptor.get_port()
    public = host.export_public_key().decode()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {public}", encoding="utf-8")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def s3(bucket: str) -> Iterator[str]:
    """The address of a server that speaks as S3 does, with an empty bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "somebody", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=address, **keys).create_bucket(Bucket=bucket)
        yield address
    finally:
        server.stop()
