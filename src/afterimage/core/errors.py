"""One exception a kind of fault. The text of each is one line that names what was wrong and what was expected."""

import re

LONGEST = 2000
"""Letters of a fault's text."""
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a name or a value from a file must not do to a terminal, a log or a table: control it, or fail to be written."""


class AfterimageError(Exception):
    """A fault that the user can mend; stages and commands print its text and end with status 1.

    Its text is one line whatever it quotes: lines are joined, what cannot be printed is written as an escape, and what
    goes on for pages is cut off.
    """

    def __init__(self, text: str = ""):
        super().__init__(shortened(one_line(text), LONGEST))


def one_line(text: str) -> str:
    """A text on one line that can be printed."""
    return UNPRINTABLE.sub(
        lambda found: ascii(found[0])[1:-1], " ".join(filter(None, map(str.strip, text.splitlines())))
    )


def shortened(text: str, letters: int) -> str:
    """A text of at most so many letters, with a sign where the rest is gone."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


class ParamsError(AfterimageError):
    """A row of params.yaml is missing, unknown or of the wrong type."""


class EngineError(AfterimageError):
    """The cluster that should do the work is not there, does not fit this process, or was lost."""


class ImageError(AfterimageError):
    """A file is not an image that can be read within the limits."""


class SourceError(AfterimageError):
    """A data set is not where its row says, or not what its row says."""


class ShardError(AfterimageError):
    """A shard or its index is missing, broken or does not match its partner."""


class SpaceError(AfterimageError):
    """The disk has too little room for an output."""


class CheckError(AfterimageError):
    """A validation gate found the data unfit for what comes after."""


class WeightsError(AfterimageError):
    """The weights of a network are missing, altered or do not fit it."""


class LayerError(AfterimageError):
    """A layer was asked for that the network does not have."""


class DeviceError(AfterimageError):
    """A device was asked for that this machine does not have."""


class TrainingError(AfterimageError):
    """Training cannot start, or its numbers went wrong."""


class MetricError(AfterimageError):
    """Two images cannot be compared."""


class HoleError(AfterimageError):
    """A mask or a box does not fit its image, or cannot be read."""


class VideoError(AfterimageError):
    """What is to be restored cannot be read, or what is restored cannot be written where it was asked for."""


class SubmissionError(AfterimageError):
    """A submission file is not what its table of boxes asks for."""
