"""A data set or the files of a competition on Kaggle: the archive that Kaggle packs, read as the source `archive` does.

Kaggle's own client would unpack it to thousands of files, so only its download is used, which goes on where it broke
off; the archive lies under `downloads.FOLDER`. Credentials are those of all Kaggle tools: KAGGLE_API_TOKEN,
~/.kaggle/access_token, KAGGLE_USERNAME and KAGGLE_KEY, or ~/.kaggle/kaggle.json.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from afterimage.core.errors import SourceError
from afterimage.datasets.sources import Item, archive, downloads
from afterimage.datasets.sources.members import Archive

COLUMNS = archive.COLUMNS


class Row(archive.Contents):
    """`path`: the module of this source. Where `sha256` is given, Kaggle's archive has to be that one; without it, the
    version is trusted, or the competition not to change."""

    source: Literal["kaggle"]
    dataset: str | None = None
    """<owner>/<name>/versions/<number>"""
    competition: str | None = None
    """Its name, as in its address; its rules must have been accepted on its page."""

    @field_validator("dataset")
    @classmethod
    def _has_version(cls, dataset: str | None) -> str | None:
        if dataset is not None and not re.fullmatch(r"[\w-]+/[\w-]+/versions/[1-9]\d*", dataset):
            raise ValueError("expected <owner>/<name>/versions/<number>, since the newest version moves")
        return dataset

    @field_validator("competition")
    @classmethod
    def _is_name(cls, competition: str | None) -> str | None:
        if competition is not None and not re.fullmatch(r"[\w-]+", competition):
            raise ValueError("expected the name of a competition as in its address")
        return competition

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.dataset is None) == (self.competition is None):
            raise ValueError("expected either `dataset` or `competition`")
        return self


def items(row: Row) -> Iterator[Item]:
    """The images of the data set or competition.

    Raises:
        SourceError: credentials or permission are missing, it cannot be reached, is not there, is not the archive that
            the row names, or does not fit the row.
    """
    name = row.dataset or f"competitions/{row.competition}"
    path = downloads.place(f"kaggle:{name}", f"{name.replace('/', '-')}.archive")
    if not path.is_file():
        partial = path.with_name(f"{path.name}.part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        _download(row, name, partial, path)
        partial.replace(path)
    downloads.check(path, row.sha256, name)
    yield from archive.contents(Archive(path, name), row)


def _download(row: Row, name: str, partial: Path, path: Path) -> None:
    import requests
    from kagglehub import clients, config, exceptions
    from kagglehub.handle import CompetitionHandle, DatasetHandle

    handle: Any
    if row.dataset is not None:
        owner, slug, _, version = row.dataset.split("/")
        handle = DatasetHandle(owner, slug, int(version))
    else:
        handle = CompetitionHandle(str(row.competition))
    page = handle.to_url()
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    try:
        if config.get_kaggle_credentials() is None:
            raise SourceError(
                f"{name}: no Kaggle credentials: create a token on kaggle.com under Settings, API, and set "
                "KAGGLE_API_TOKEN to it, or keep it in ~/.kaggle/access_token"
            )
        failures = 0
        while True:
            before = _size(partial)
            try:
                with clients.build_kaggle_client() as client:
                    response = _asked(client, handle)
                    clients.download_file(response, str(partial), handle)
                return
            except broken as error:
                failures = downloads.tries(error, 0 if _size(partial) > before else failures)
    except exceptions.DataCorruptionError:
        raise SourceError(f"{name}: what came is not what Kaggle sent, by its MD5; run it again") from None
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise SourceError(f"{name}: {_advice(status, page, row.competition is not None)}") from None
    except broken as error:
        raise SourceError(
            f"{name}: Kaggle cannot be reached: {downloads.line(error)}; run it again to go on where it stopped, or "
            f"place the archive of {page} at {path}"
        ) from None
    except ValueError as error:  # a credentials file that is none
        raise SourceError(f"{name}: {downloads.line(error)}") from None


def _asked(client: Any, handle: Any) -> Any:
    """Kaggle's answer to a request for the whole archive, not yet read."""
    from kagglehub.handle import CompetitionHandle
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest
    from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

    if isinstance(handle, CompetitionHandle):
        files = ApiDownloadDataFilesRequest()
        files.competition_name = handle.competition
        return client.competitions.competition_api_client.download_data_files(files)
    request = ApiDownloadDatasetRequest()
    request.owner_slug, request.dataset_slug = handle.owner, handle.dataset
    request.dataset_version_number = handle.version
    return client.datasets.dataset_api_client.download_dataset(request)


def _advice(status: int, page: str, competition: bool) -> str:
    if status == 401:
        return "Kaggle does not know these credentials (401): create a new token under Settings, API"
    if status == 403:
        rules = f"accept the rules on {page}/rules" if competition else f"ask for access or accept its terms on {page}"
        return f"not for this account (403): {rules}"
    if status == 404:
        return f"there is no such data set, version or competition (404): see {page}, and put what it is now in the row"
    if status == 429:
        return "too many requests (429): wait, then run it again"
    return f"Kaggle answers {status}; run it again later"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
