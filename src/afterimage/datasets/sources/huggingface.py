"""A data set of the Hugging Face hub, pinned to a commit and read from its parquet files.

The files of the row's splits are downloaded one by one, checked against the hub's SHA-256 and read a few rows at a
time. They stay in the client's cache under `downloads.FOLDER`, so that a fetch that was broken off goes on; once the
data set is fetched, that folder may be removed. A gated set takes a token from HF_TOKEN or `hf auth login`.

The key of an image is its split, the number of its file and that of its row, which a commit fixes.
"""

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from pydantic import field_validator

from afterimage.core import outputs
from afterimage.core.errors import ImageError, SourceError
from afterimage.core.parsing import parsing
from afterimage.datasets import sources
from afterimage.datasets.sources import Dataset, Item, downloads, paths

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # requests would tell what is installed here; read on import

COLUMNS = ("label",)
SPLITS = {**paths.OFFICIAL, "valid": "val", "dev": "val"}
"""The names that splits have on the hub, and ours for them."""
ROWS = 16
"""So many rows are in memory at once."""

# train-00000-of-00002.parquet, train-00000-of-00002-0123456789abcdef.parquet, train.parquet, train/0000.parquet
FILE = re.compile(r"(?:.*/)?(?P<split>[A-Za-z]\w*)(?:-\d+-of-\d+)?(?:-[0-9a-f]{16})?(?:/\d+)?\.parquet")


class Row(Dataset):
    """`path`: the module of this source."""

    source: Literal["huggingface"]
    id: str
    """Owner and name, as in the address of the data set's page."""
    revision: str
    """A commit: a branch would move. Each is listed on the page under Files, History."""
    splits: list[str]
    """Which of the hub's splits are taken. Those called train, val, validation, valid, dev and test are that split
    here; a missing val or test is dealt out of train."""
    folder: str = ""
    """Where in the repository the parquet files lie, where it has several configurations."""
    column: str = "image"
    label: str | None = None
    """A column that is kept as `label`, by the name of its class where the files have one."""
    group: str = "image"
    """`image`: each stands alone; else a column whose equal values belong together, such as a person's name."""

    @field_validator("id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", value):
            raise ValueError("expected <owner>/<name>")
        return value

    @field_validator("revision")
    @classmethod
    def _is_commit(cls, revision: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{40}", revision):
            raise ValueError("expected the 40 hexadecimal digits of a commit, since branches and tags move")
        return revision

    @field_validator("splits")
    @classmethod
    def _some(cls, splits: list[str]) -> list[str]:
        if not splits or len(set(splits)) != len(splits):
            raise ValueError("expected one or more splits, each once")
        return splits


class Shard(NamedTuple):
    """A parquet file of the data set."""

    split: str
    """The hub's name."""
    number: int
    """Its place among the files of its split."""
    name: str
    sha256: str | None


def items(row: Row) -> Iterator[Item]:
    """The images of the row's splits.

    Raises:
        SourceError: the hub or the data set cannot be reached, it has moved or lost the commit, or it is not what the
            row says.
    """
    names = [SPLITS.get(split) for split in row.splits]
    missing = [split for split in ("val", "test") if split not in names]
    for shard in _shards(row):
        file = _downloaded(row, shard)
        official = SPLITS.get(shard.split)
        for number, image, label, group in _rows(file, row, shard):
            name = f"{shard.split}/{shard.number:05d}/{number:07d}"
            together = group or name
            yield Item(
                name=name,
                origin=f"{shard.name} row {number}",
                group=together,
                split=sources.draw(together, row.split, missing) if official == "train" else official,
                open=partial(_opened, image),
                extra=(label,),
            )


def _opened(image: bytes | None) -> BinaryIO:
    if image is None:
        raise ImageError("the row holds no image")
    return io.BytesIO(image)


def _shards(row: Row) -> list[Shard]:
    """The files of the splits, in the order of the keys of their images."""
    from huggingface_hub import HfApi

    with _faults(row):
        info = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).dataset_info(
            row.id, revision=row.revision, files_metadata=True
        )
    if info.id != row.id:
        raise SourceError(f"{row.id}: this data set is now {info.id}: put that in `id`")
    if info.sha != row.revision:
        raise SourceError(
            f"{row.id}: the hub gave commit {info.sha} for {row.revision}: put the one you mean in `revision`"
        )
    files: dict[str, list[Any]] = {}
    for file in sorted(info.siblings or [], key=lambda file: file.rfilename):
        match = FILE.fullmatch(file.rfilename)
        if match and file.rfilename.startswith(f"{row.folder.strip('/')}/" if row.folder else ""):
            files.setdefault(match["split"], []).append(file)
    if absent := [split for split in row.splits if split not in files]:
        there = (
            f"there are {', '.join(sorted(files))}"
            if files
            else "it has no parquet files; see its branch refs/convert/parquet"
        )
        raise SourceError(
            f"{row.id}: no parquet files of split {absent[0]} at this commit in `folder` {row.folder!r}: {there}"
        )
    for split in row.splits:
        if len(folders := sorted({_folder(file.rfilename, split) for file in files[split]})) > 1:
            raise SourceError(f"{row.id}: split {split} lies in {' and '.join(folders[:3])}: name one in `folder`")
    return [
        Shard(split, number, file.rfilename, file.lfs.sha256 if file.lfs else None)
        for split in sorted(row.splits, key=lambda split: sources.key(f"{split}/"))
        for number, file in enumerate(files[split])
    ]


def _folder(name: str, split: str) -> str:
    above = name.rpartition("/")[0]
    return above.removesuffix(split).rstrip("/") or "the top"


def _downloaded(row: Row, shard: Shard) -> Path:
    from huggingface_hub import hf_hub_download

    with _faults(row):
        path = Path(
            hf_hub_download(
                row.id,
                shard.name,
                repo_type="dataset",
                revision=row.revision,
                cache_dir=downloads.FOLDER / "huggingface",
                endpoint=os.environ.get("HF_ENDPOINT"),
            )
        )
    if shard.sha256 is not None and (found := outputs.sha256(path)) != shard.sha256:
        raise SourceError(
            f"{row.id}: {shard.name}: its sha256 is {found}, expected {shard.sha256} by the hub; remove "
            f"{path.resolve()} to download it again"
        )
    return path


class Values(NamedTuple):
    """What the row of a file holds."""

    number: int
    image: bytes | None
    label: str
    group: str


def _rows(file: Path, row: Row, shard: Shard) -> Iterator[Values]:
    import pyarrow as pa
    from pyarrow import parquet

    where = f"{row.id}: {shard.name}"
    grouped = [] if row.group == "image" else [row.group]
    with parsing(SourceError, f"{where}: not a parquet file that can be read"), parquet.ParquetFile(file) as table:
        schema = table.schema_arrow
        columns = [row.column, *([row.label] if row.label else []), *grouped]
        if absent := [column for column in columns if column not in schema.names]:
            raise SourceError(f"{where}: no column {absent[0]}; there are {', '.join(schema.names)}")
        kind = schema.field(row.column).type
        nested = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        inner = kind.field("bytes").type if nested else kind
        if not (pa.types.is_binary(inner) or pa.types.is_large_binary(inner)):
            raise SourceError(f"{where}: column {row.column} is {kind}, expected images as bytes")
        classes = _classes(schema.metadata or {}, row.label)
        number = 0
        for batch in table.iter_batches(ROWS, columns=columns):
            image = batch.column(row.column)
            for place in range(batch.num_rows):
                value = image[place].as_py()
                label = batch.column(row.label)[place].as_py() if row.label else None
                group = batch.column(row.group)[place].as_py() if grouped else None
                yield Values(
                    number,
                    value["bytes"] if nested and value is not None else value,
                    classes[label] if isinstance(label, int) and 0 <= label < len(classes) else _text(label),
                    _text(group),
                )
                number += 1


def _classes(metadata: dict[bytes, bytes], label: str | None) -> list[str]:
    """The names of a column's classes, which the hub's own files carry in their schema."""
    try:
        feature = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"][label]
        return [str(name) for name in feature["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@contextlib.contextmanager
def _faults(row: Row) -> Iterator[None]:
    """Say in a line what went wrong at the hub, and what can be done."""
    import httpx2
    from huggingface_hub import constants, errors

    hub = os.environ.get("HF_ENDPOINT", constants.ENDPOINT)
    page = f"{hub}/datasets/{row.id}"
    try:
        yield
    except errors.GatedRepoError:
        raise SourceError(
            f"{row.id}: this data set is gated: ask for access on {page}, then set HF_TOKEN to a token of that account"
        ) from None
    except errors.RepositoryNotFoundError:
        raise SourceError(
            f"{row.id}: the hub has no such data set, or shows it to some accounts only: correct `id`, or set HF_TOKEN "
            "to a token of an account that may read it"
        ) from None
    except errors.RevisionNotFoundError:
        raise SourceError(
            f"{row.id}: the data set has no commit {row.revision} (any more): pick one on {page}/commits/main and "
            "put it in `revision`"
        ) from None
    except errors.EntryNotFoundError as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise SourceError(
                f"{row.id}: {hub} cannot be reached: {downloads.line(error.__cause__ or error)}"
            ) from None
        raise SourceError(f"{row.id}: a file of commit {row.revision} is gone: {downloads.line(error)}") from None
    except (httpx2.TransportError, errors.OfflineModeIsEnabled) as error:
        raise SourceError(
            f"{row.id}: {hub} cannot be reached: {downloads.line(error)}; run it again with a network, and it "
            "goes on where it stopped"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        help = ": HF_TOKEN is not (or no longer) a valid token" if status == 401 else ""
        raise SourceError(f"{row.id}: {hub} answers {status}{help or ': ' + downloads.line(error)}") from None
    except (errors.FileMetadataError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise SourceError(f"{row.id}: {downloads.line(error)}") from None
