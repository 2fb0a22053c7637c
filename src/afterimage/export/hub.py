"""Rows on the Hugging Face hub: `hf://user/name`, `hf://user/name@revision`, each with `/CASE` behind it or without.

A repository that `publish` sent is a small project: its folder `zoo/` holds one row. So a row of the hub is fetched
into the cache of huggingface_hub, and then is a row of the zoo there, with the same card and the same checks.

Weights and cards are data. Only kinds of row that run no code from elsewhere are taken from the hub, whatever a card
says.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from afterimage.core import zoo
from afterimage.core.errors import AfterimageError, ParamsError, WeightsError

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # requests would tell what is installed here; read on import

SCHEME = "hf://"
REPOSITORY = r"[\w.-]+/[\w.-]+"
ROW = re.compile(rf"{SCHEME}({REPOSITORY})(?:@([\w.-]+))?(?:{zoo.CASE}(.+))?")
OWN = ("zoo/", "pictures/")
"""The folders of a repository that `publish` writes."""
TRUSTED = ("autoencoder", "decoder", "pix2pix", "pixelrnn")
"""Kinds that are made of weights and settings alone."""


class HubError(AfterimageError):
    """The hub cannot be reached, or refuses."""


def holds(row: str) -> bool:
    """Whether a name is of a row of the hub, there or not."""
    return row.startswith(SCHEME)


def fetched(row: str) -> tuple[Path, str]:
    """A project that holds a row of the hub, and its name there: `zoo/NAME`, with the case behind it.

    Without a revision it is the newest that can be had: without a network, that of the cache.

    Raises:
        ParamsError: the name is not of the form above.
        HubError: it cannot be had.
        WeightsError: the repository holds no row, or several, or one of a kind that is not taken from the hub.
    """
    found = ROW.fullmatch(row)
    if found is None:
        raise ParamsError(f"{row}: expected {SCHEME}USER/NAME, with @REVISION or {zoo.CASE}CASE behind it or without")
    repository, revision, case = found.groups()
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    with _faults(repository, revision):
        folder = snapshot_download(repository, revision=revision, allow_patterns=[f"{OWN[0]}*"], endpoint=_endpoint())
    project = Path(folder)
    names = zoo.names(project)
    if len(names) != 1:
        raise WeightsError(f"{row}: the repository holds {len(names) or 'no'} rows in zoo/, expected one")
    kind = zoo.card(project, names[0])["settings"].get("kind")
    if kind not in TRUSTED:
        raise WeightsError(f"{row}: a row of the kind {kind!r}; only {', '.join(TRUSTED)} are taken from the hub")
    return project, f"{names[0]}{zoo.CASE}{case}" if case else names[0]


def checked(repository: str) -> str:
    """The name of a repository, if it is one.

    Raises:
        ParamsError: it is none.
    """
    if not re.fullmatch(REPOSITORY, repository):
        raise ParamsError(f"{repository}: expected USER/NAME, a repository of models on the hub")
    return repository


def sent(folder: Path, repository: str, private: bool) -> str:
    """Make a repository hold what a folder of `publishing` does, and return the address of the commit.

    Rows and pictures that it held before are removed from it; its history keeps them.

    Raises:
        HubError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi(endpoint=_endpoint())
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    with _faults(repository, None):
        if not api.repo_exists(repository):
            api.create_repo(repository, private=private)
        there = [name for name in api.list_repo_files(repository) if name.startswith(OWN) and name not in files]
        changes = [CommitOperationAdd(name, path) for name, path in sorted(files.items())]
        return api.create_commit(
            repository,
            [*changes, *map(CommitOperationDelete, there)],
            commit_message=f"afterimage publish {folder.name}",
        ).commit_url


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


@contextlib.contextmanager
def _faults(repository: str, revision: str | None) -> Iterator[None]:
    """Say in a line what went wrong at the hub, and what can be done."""
    import httpx2
    from huggingface_hub import constants, errors

    hub = _endpoint() or constants.ENDPOINT
    try:
        yield
    except (errors.GatedRepoError, errors.RepositoryNotFoundError):
        raise HubError(
            f"{repository}: {hub} has no such repository of models, or shows it to some accounts only: set HF_TOKEN to "
            "a token of one"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{repository}: there is no revision {revision}") from None
    except errors.LocalEntryNotFoundError:
        raise HubError(f"{repository}: {hub} cannot be reached, and the cache does not have it") from None
    except (errors.OfflineModeIsEnabled, httpx2.TransportError):
        raise HubError(f"{repository}: {hub} cannot be reached") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        help = ": set HF_TOKEN to a token that may write there" if status in (401, 403) else ""
        raise HubError(f"{repository}: {hub} answers {status}{help}") from None
    except ValueError as error:  # a card that the hub does not take, or an answer that is none of a hub
        raise HubError(f"{repository}: {hub}: {error}") from None
