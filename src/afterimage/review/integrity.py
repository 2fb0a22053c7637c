"""Whether what lies on the disk is what was written there: outputs, DVC's cache, and remotes on this machine.

DVC trusts a file whose time, size and inode are as they were, and links outputs into its cache, so a byte that flips
on the disk damages both and no command of DVC tells. Here every file is read and hashed: a minute for some 20 GB on a
disk that gives 400 MB/s. A file that an output and the cache share is read once.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from afterimage.core import outputs
from afterimage.core.errors import AfterimageError


class Damage(NamedTuple):
    """A file that is not what it should be."""

    path: str
    what: str
    mend: str
    """The command that mends it."""


class Examined(NamedTuple):
    """What was read, and what was found."""

    outputs: int
    absent: list[str]
    """Outputs that are not in the workspace, which is no damage."""
    objects: int
    bytes: int
    seconds: float
    damages: list[Damage]


def examine(project: Path) -> Examined:
    """Hash the outputs of a project, the objects of DVC's cache and those of remotes that are folders.

    Raises:
        AfterimageError: DVC cannot read the project.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    started = time.monotonic()
    try:
        with Repo(str(project)) as repo:
            look = _Look(repo)
            damages = [*look.outputs(), *look.cache(), *look.remotes()]
    except DvcException as error:
        raise AfterimageError(f"{project}: DVC cannot read it: {error}") from None
    return Examined(look.seen, look.absent, look.objects, look.bytes, time.monotonic() - started, damages)


class _Look:
    """One look at a project, which reads no file twice."""

    def __init__(self, repo: Any):
        self.repo, self.root, self.odb = repo, Path(repo.root_dir), repo.cache.local
        self.md5s: dict[tuple[int, int], str] = {}
        self.absent: list[str] = []
        self.seen = self.objects = self.bytes = 0
        self.kept: dict[str, str] = {}
        """The output that holds a hash, of those that are whole: what the cache can be mended from."""
        self.mended: set[Path] = set()

    def outputs(self) -> Iterator[Damage]:
        """Files of outputs against the hashes in dvc.lock and in DVC's lists of folders."""
        for out in sorted(self.repo.index.outs, key=lambda out: str(out.fs_path)):
            path = Path(out.fs_path)
            if not out.hash_info or not out.is_in_repo:
                continue
            if not path.exists():
                self.absent.append(self._name(path))
                continue
            self.seen += 1
            listed = self._listed(out) if out.hash_info.isdir else {path: out.hash_info.value}
            if listed is None:
                yield from self._unlisted(out, path)
                continue
            for file in sorted({*listed, *(self._files(path) if path.is_dir() else [path])}):
                if file not in listed:
                    yield Damage(self._name(file), f"is no part of {self._name(path)}", f"rm -f {self._name(file)}")
                elif not file.is_file():
                    yield Damage(self._name(file), "is missing", self._again(out, file, listed[file]))
                elif (found := self._md5(file)) != listed[file]:
                    what = f"its MD5 is {found}, expected {listed[file]} by dvc.lock"
                    yield Damage(self._name(file), what, self._again(out, file, listed[file]))
                else:
                    self.kept[listed[file]] = out.stage.addressing

    def cache(self) -> Iterator[Damage]:
        """Objects of the cache against their names."""
        for oid, path in self._objects(self.odb):
            if self._md5(path) != oid.removesuffix(".dir") and path not in self.mended:
                stage = self.kept.get(oid)
                # Not --force: it would also put what Git keeps of the stage into the cache, where `dvc repro` does not,
                # and would write the code and parameters of today beside outputs of another day
                then = f"dvc commit {stage}" if stage else "dvc fetch` or `dvc repro"
                yield Damage(
                    self._name(path), "is no longer what its name says", f"rm -f {self._name(path)}` and `{then}"
                )

    def remotes(self) -> Iterator[Damage]:
        """Objects of remotes on this machine; others would have to be downloaded."""
        for name in self.repo.config["remote"]:
            remote = self.repo.cloud.get_remote(name)
            if remote.fs.protocol != "local":
                continue
            for oid, path in self._objects(remote.odb):
                if self._md5(path) != oid.removesuffix(".dir"):
                    # `dvc push` would leave it out: DVC notes what a remote has, and does not look again
                    whole = Path(self.odb.oid_to_path(oid))
                    good = whole.is_file() and self._md5(whole) == oid.removesuffix(".dir")
                    mend = f"cp -f {self._name(whole)} {self._name(path)}" if good else f"rm -f {self._name(path)}"
                    yield Damage(self._name(path), f"(remote {name}) is no longer what its name says", mend)

    def _objects(self, odb: Any) -> Iterator[tuple[str, Path]]:
        if Path(odb.path).is_dir():
            for oid in sorted(odb.all()):
                self.objects += 1
                yield oid, Path(odb.oid_to_path(oid))

    def _listed(self, out: Any) -> Mapping[Path, str] | None:
        """The hash of each file of a folder; None where the list is not in the cache, or damaged there."""
        from dvc_data.hashfile.tree import Tree

        path = Path(self.odb.oid_to_path(out.hash_info.value))
        if not path.is_file() or f"{self._md5(path)}.dir" != out.hash_info.value:
            return None
        tree = Tree.load(self.odb, out.hash_info)
        return {Path(out.fs_path, *key): info.value for key, (_, info) in tree.iteritems()}

    def _unlisted(self, out: Any, path: Path) -> Iterator[Damage]:
        """A folder against its one hash; the indexes of shards in it say which file it may be."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        tree = Tree()
        for file in self._files(path):
            tree.add(file.relative_to(path).parts, None, HashInfo("md5", self._md5(file)))
        tree.digest()
        if tree.oid == out.hash_info.value:
            self.kept[out.hash_info.value] = out.stage.addressing
            return
        wrong = list(_unlike_index(path))
        for file in wrong or [path]:
            what = "its SHA-256 is not that in index.json" if wrong else "its files are not those that dvc.lock has"
            mend = f"dvc checkout --force {self._name(path)}" if out.use_cache else f"git checkout {self._name(path)}"
            yield Damage(self._name(file), what, f"{mend}` or `dvc repro --force {out.stage.addressing}")

    def _again(self, out: Any, file: Path, md5: str) -> str:
        """How a file of an output is had again."""
        whole, name = self._name(Path(out.fs_path)), self._name(file)
        if not out.use_cache:
            return f"git checkout {name}"
        object_ = Path(self.odb.oid_to_path(md5))
        if object_.is_file() and self._md5(object_) == md5:
            return f"rm -f {name}` and `dvc checkout {whole}"
        self.mended.add(object_)
        then = f"dvc pull {whole}" if self.repo.config["remote"] else f"dvc repro --force -s {out.stage.addressing}"
        return f"rm -f {name} {self._name(object_)}` and `{then}"

    def _files(self, folder: Path) -> list[Path]:
        return [Path(path) for path in self.repo.dvcignore.find(self.repo.fs, str(folder))]

    def _md5(self, path: Path) -> str:
        from dvc_data.hashfile.hash import file_md5

        about = path.stat()
        key = (about.st_dev, about.st_ino)
        if key not in self.md5s:
            self.md5s[key] = file_md5(str(path))
            self.bytes += about.st_size
        return self.md5s[key]

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix() if path.is_relative_to(self.root) else str(path)


def _unlike_index(folder: Path) -> Iterator[Path]:
    """Tars below a folder that are not what the index beside them says."""
    for index in sorted(folder.rglob("index.json")):
        try:
            splits = json.loads(index.read_text(encoding="utf-8"))["splits"]
            listed = {index.with_name(s["name"]): s["sha256"] for split in splits.values() for s in split["shards"]}
        except (ValueError, LookupError, TypeError, AttributeError):
            yield index
            continue
        yield from (path for path, sha256 in listed.items() if path.is_file() and outputs.sha256(path) != sha256)
