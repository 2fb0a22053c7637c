"""What can go wrong with a remote by SSH: two pushes at once, a connection that breaks, an object that is damaged."""

import subprocess
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest
import remotes
from conftest import Project, load_yaml, ran

STAGES = ("fetch@photos", "shard@photos", "observe@small")
"""What is pushed: a few large objects and many small ones."""
OUTPUTS = ("data/raw/photos", "data/shards/photos", "data/observations/small")


class Machine(Project):
    """A machine of a team: its own home, with the key of the one user."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "HOME": str(self.home), "DVC_SITE_CACHE_DIR": str(self.root.parent / "site")}


@pytest.fixture
def server(project: Project, tmp_path: Path) -> Iterator[remotes.Ssh]:
    with remotes.ssh(tmp_path / "server", tmp_path / "home/.ssh") as server:
        (tmp_path / "home/gitconfig").write_bytes((project.home / "gitconfig").read_bytes())
        yield server


def machine(project: Project, server: remotes.Ssh, folder: Path) -> Machine:
    """A copy of the project, with its remote on the server, on a machine with `folder`."""
    folder.mkdir()
    copied = project.copy(folder / "project")
    (copied.root / ".dvc/config.local").write_text(
        f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = ssh://team@127.0.0.1:{server.port}/remote\n"
        f"    keyfile = {server.key}\n    verify = true\n",
        encoding="utf-8",
    )
    return Machine(copied.root, server.key.parents[1])


def without_data(project: Machine) -> Machine:
    """The same, as if it had just been cloned."""
    project.run("rm", "-r", "data", ".dvc/cache", ".dvc/tmp", ".afterimage")
    return project


def pulled(project: Machine) -> dict[str, bytes]:
    """The files of the outputs, once a machine without data has pulled them."""
    without_data(project).dvc("pull", *STAGES)
    return outputs(project)


def outputs(project: Project) -> dict[str, bytes]:
    files = (path for name in OUTPUTS for path in (project.root / name).rglob("*") if path.is_file())
    return {path.relative_to(project.root).as_posix(): path.read_bytes() for path in files}


def objects(server: remotes.Ssh) -> dict[str, Path]:
    """The objects on the remote by their hashes; what has a temporary name is none."""
    files = (server.root / "remote/files/md5").glob("??/*")
    return {path.parent.name + path.name: path for path in files if not path.name.endswith(".tmp")}


def are_whole(server: remotes.Ssh) -> bool:
    return all(md5(path.read_bytes()).hexdigest() == name.split(".")[0] for name, path in objects(server).items())


def test_two_machines_push_at_once(project: Project, server: remotes.Ssh, tmp_path: Path) -> None:
    both = [machine(project, server, tmp_path / name) for name in ("first", "second")]
    pushing = [
        subprocess.Popen(
            ["dvc", "push", *STAGES],
            cwd=each.root,
            env=each.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for each in both
    ]
    said = [process.communicate()[0] for process in pushing]
    assert [process.returncode for process in pushing] == [0, 0], said
    assert are_whole(server)
    assert pulled(machine(project, server, tmp_path / "third")) == outputs(project)


def test_a_connection_breaks_in_the_middle_of_a_push(project: Project, server: remotes.Ssh, tmp_path: Path) -> None:
    first = machine(project, server, tmp_path / "first")
    server.breaks = [200_000]
    done = first.run("dvc", "push", *STAGES, status=None)
    assert done.returncode in (1, 255)  # by what it was about to do
    assert "ERROR: failed to transfer" in done.stderr
    assert are_whole(server)
    first.dvc("push", *STAGES)
    assert are_whole(server)
    assert pulled(machine(project, server, tmp_path / "second")) == outputs(project)


def test_a_damaged_object_is_not_used(project: Project, server: remotes.Ssh, tmp_path: Path) -> None:
    first = machine(project, server, tmp_path / "first")
    first.dvc("push", *STAGES)
    tar = project.root / "data/shards/photos/train-000000.tar"
    name = md5(tar.read_bytes()).hexdigest()
    damaged = bytearray(tar.read_bytes())
    damaged[1000] ^= 1
    objects(server)[name].write_bytes(damaged)

    second = without_data(machine(project, server, tmp_path / "second"))
    said = second.dvc("pull", "shard@photos", status=1)
    assert "data/shards/photos" in said
    assert not (second.root / ".dvc/cache/files/md5" / name[:2] / name[2:]).exists()
    said = second.dvc("repro", "--pull", "shard@photos")
    assert ran(said) == ["shard@photos"]
    assert (second.root / "data/shards/photos/train-000000.tar").read_bytes() == tar.read_bytes()
    known, now = (load_yaml(each.root / "dvc.lock")["stages"]["shard@photos"] for each in (project, second))
    assert now["outs"] == known["outs"]
