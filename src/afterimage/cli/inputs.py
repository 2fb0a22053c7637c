"""How commands take several files and folders, and where they write: the same for all of them."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import click

from afterimage.cli.options import UsageError
from afterimage.core.errors import AfterimageError, HoleError, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

Model = TypeVar("Model")


class Item(NamedTuple):
    """A file to read, and the file to write."""

    source: Path
    target: Path
    name: str
    """Without its extension, with the folders below that which was given: partners are found by it."""


class CommandError(AfterimageError):
    """A fault of the command, not of one of its inputs: the others would meet it too."""


class Once(Generic[Model]):
    """A model that is loaded when the first input is in order, and then kept: inputs are checked before torch is here.

    Raises:
        CommandError: it cannot be had.
    """

    def __init__(self, load: Callable[[], Model]):
        self._load = load
        self._model: Model | None = None

    def __call__(self) -> Model:
        if self._model is None:
            try:
                self._model = self._load()
            except AfterimageError as error:
                raise CommandError(str(error)) from None
        return self._model


def items(
    inputs: Sequence[Path],
    row: str,
    out: Path | None,
    overwrite: bool,
    extension: Callable[[Path], str] | None = None,
) -> list[Item]:
    """What is to be read and written: the files that were given, and the images of folders, however deep.

    Args:
        row: by which outputs are named.
        out: a file for one input that is a file, else a folder; None: this folder.
        overwrite: whether outputs may be there already.
        extension: of the output for a file; None: outputs are images, PNG where no name says otherwise.

    Raises:
        ImageError: an image cannot be written under that name.
        UsageError: `out` is of the wrong kind, lies in an input, or is there already; a folder holds no images; or two
            outputs have one name.
    """
    single = len(inputs) == 1 and not inputs[0].is_dir()
    _check_out(inputs, out, single, images=extension is None)
    found: dict[Path, Item] = {}
    for path in inputs:
        for source, name in files(path):
            default = Path(f"{name}{ending(row)}{extension(source) if extension else '.png'}")
            item = Item(source, out if out and single else (out or Path()) / default, name)
            other = found.setdefault(item.target, item)
            if other.source != source:
                raise UsageError(f"{other.source} and {source}: both would be {item.target}")
    if not overwrite:
        require_free(list(found))
    return list(found.values())


def ending(row: str) -> str:
    """What the name of a row adds to those of its outputs."""
    return f"-{row.replace('/', '-')}"


def beside(path: Path, ending: str) -> Path:
    """The name of a further output of an input."""
    return path.with_name(f"{path.stem}{ending}{path.suffix}")


def partner(path: Path, item: Item, what: str) -> Path:
    """A mask, or an original: the file that was given, or the one of the input's name in a folder of them.

    Raises:
        HoleError: the folder holds none, or several.
    """
    if not path.is_dir():
        return path
    folder, stem = (path / item.name).parent, Path(item.name).name
    partners = sorted(each for each in folder.iterdir() if each.stem == stem) if folder.is_dir() else []
    if len(partners) != 1:
        found = "none" if not partners else " and ".join(each.name for each in partners)
        raise HoleError(f"expected one {what} {stem}.* in {folder}, found {found}")
    return partners[0]


def read(path: Path) -> "Image":
    """An image of a file, as RGB.

    Raises:
        ImageError: it is none that can be read; the text begins with the path.
    """
    from afterimage.core import images

    try:
        return images.decode(path.read_bytes())
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def write(pictures: "Mapping[Path, Image]", overwrite: bool) -> None:
    """Write the images that become of an input.

    Raises:
        UsageError: one is there already.
        ImageError: a format does not hold the image, or there is no such format.
    """
    from afterimage.apply import files

    if not overwrite:
        require_free(list(pictures))
    for path, picture in pictures.items():
        files.save(picture, path)


def require_free(paths: Sequence[Path]) -> None:
    """Raise UsageError for outputs that are there already."""
    if there := [path for path in paths if path.exists()]:
        more = f", and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}{more}: this output is there already; --overwrite replaces it")


Some = TypeVar("Some", Item, Path)


def each(sources: Sequence[Some], work: Callable[[Some], str], quiet: bool) -> None:
    """Deal with inputs one by one. One that fails is named in a line, the others go on, and the command ends with 1.

    Args:
        work: does it, and returns the line that says so.
    """
    failed = 0
    for source in sources:
        try:
            said = work(source)
        except CommandError:
            raise
        except (AfterimageError, OSError) as error:
            fault(source if isinstance(source, Path) else source.source, error)
            failed += 1
            continue
        if not quiet:
            click.echo(said)
    if failed and len(sources) > 1:
        click.echo(f"afterimage: {failed} of {len(sources)} inputs failed", err=True)
    if failed:
        sys.exit(1)


def fault(source: Path, error: AfterimageError | OSError | str) -> None:
    """Name an input and what is wrong with it, in a line on standard error."""
    text = str(error)
    if isinstance(error, OSError):
        if error.strerror is None:
            raise error
        other = error.filename not in (None, str(source))
        text = f"{error.filename}: {error.strerror}" if other else error.strerror
    line = text if text.startswith(f"{source}: ") else f"{source}: {text}"
    click.echo(f"afterimage: {line}", err=True)


def files(path: Path) -> Iterator[tuple[Path, str]]:
    """Each file of an input, with its name."""
    if not path.is_dir():
        yield path, path.stem
        return
    from afterimage.datasets.sources import folder, paths

    names = paths.chosen(folder.walk(path, paths.EXTENSIONS), None)
    if not names:
        raise UsageError(f"{path}: no images in this folder (looked for {', '.join(paths.EXTENSIONS)})")
    for name in names:
        yield path / name, paths.stem(name)


def _check_out(inputs: Sequence[Path], out: Path | None, single: bool, images: bool) -> None:
    from afterimage.apply import files

    if single:
        if out is not None and out.is_dir():
            raise UsageError(f"{out}: a folder; for one input --out is the file to write")
        if out is not None and images:
            files.form_of(out)
        return
    if out is not None and (out.is_file() or (out.suffix.lower() in files.FORMATS and not out.is_dir())):
        raise UsageError(f"{out}: a file's name; for several inputs --out is a folder")
    target = (out or Path()).resolve()
    for path in inputs:
        if path.is_dir() and (path.resolve() == target or path.resolve() in target.parents):
            raise UsageError(f"{out or 'this folder'}: outputs would lie in the input {path}; give another --out")
