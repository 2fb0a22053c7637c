"""What a surveillance camera leaves of an image: dark, blurred, small, noisy and compressed frames.

A level is a list of steps in the order in which they happen. Each step draws its strength from ranges, so that every
frame is degraded in its own way, and what it drew is a record that repeats the case: `replay` is a function of the
image and its records alone. The steps work on sRGB values; in the words of Zhang et al., "Designing a Practical
Degradation Model for Deep Blind Image Super-Resolution" (ICCV 2021), section 3, they are blur, downsampling, noise
and compression, here after low light and with what interlacing does to motion.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self, Union

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from afterimage.core.images import Uint8
from afterimage.core.params import Row
from afterimage.core.randomness import generator

Floats = npt.NDArray[np.float32]
Record = dict[str, Any]
"""What one step drew for one image, and `step`, its name."""

FILTERS = ("nearest", "area", "bilinear", "bicubic", "lanczos", "bicubic_antialiased")
MACROBLOCK = 16


def _ordered(pair: list[float]) -> list[float]:
    if pair[0] > pair[1]:
        raise ValueError("expected [from, to] with from <= to")
    return pair


Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
"""`[from, to]`, between which a strength is drawn."""


class Step(Row):
    """A part of a degradation. `chance` is the share of the images that it happens to."""

    chance: float = Field(default=1.0, ge=0, le=1)
    LIMITS: ClassVar[dict[str, tuple[float, float]]] = {}

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        for name, (low, high) in self.LIMITS.items():
            pair = getattr(self, name)
            if not low <= pair[0] <= pair[1] <= high:
                raise ValueError(f"{name} {pair} should lie between {low:g} and {high:g}")
        return self

    def draw(self, random: np.random.Generator) -> Record:
        """The strength for one image."""
        raise NotImplementedError

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        """The image `[H, W, 3]` after the step; values may leave [0, 1], which the end of all steps clips."""
        raise NotImplementedError


class LowLight(Step):
    """Too little light: `exposure * image ** gamma`."""

    step: Literal["low_light"]
    gamma: Range
    exposure: Range
    LIMITS: ClassVar = {"gamma": (0.1, 10), "exposure": (0.01, 10)}

    def draw(self, random: np.random.Generator) -> Record:
        return {"gamma": _uniform(random, self.gamma), "exposure": _uniform(random, self.exposure)}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        return np.float32(drawn["exposure"]) * np.maximum(image, 0) ** np.float32(drawn["gamma"])


class Defocus(Step):
    """A lens out of focus: the mean over a disc of `radius` px."""

    step: Literal["defocus"]
    radius: Range
    LIMITS: ClassVar = {"radius": (0.0, 50)}

    def draw(self, random: np.random.Generator) -> Record:
        return {"radius": _uniform(random, self.radius)}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        return _filtered(image, disc(drawn["radius"]))


class Motion(Step):
    """Movement while the shutter is open: the mean over an arc of `length` px that turns by `bend` in all."""

    step: Literal["motion"]
    length: Range
    bend: Range
    LIMITS: ClassVar = {"length": (0.0, 100), "bend": (0.0, 2 * math.pi)}

    def draw(self, random: np.random.Generator) -> Record:
        return {
            "length": _uniform(random, self.length),
            "angle": random.uniform(0, 2 * math.pi),
            "bend": _uniform(random, self.bend),
        }

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        points = 8 * math.ceil(drawn["length"]) + 1
        heading = drawn["angle"] + drawn["bend"] * np.linspace(-0.5, 0.5, points)
        path = np.stack([np.sin(heading), np.cos(heading)]).cumsum(axis=1) * drawn["length"] / points
        path -= path.mean(axis=1, keepdims=True)
        reach = math.ceil(np.abs(path).max()) + 1
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
        corner = np.floor(path).astype(int)
        part = path - corner
        for down in (0, 1):  # each point of the path is shared by the four pixels around it
            for right in (0, 1):
                share = np.abs(1 - down - part[0]) * np.abs(1 - right - part[1])
                np.add.at(kernel, (corner[0] + down + reach, corner[1] + right + reach), share)
        return _filtered(image, kernel)


class Downscale(Step):
    """A small sensor, or a face far away: fewer pixels by `factor`, through one of `filters`."""

    step: Literal["downscale"]
    factor: Range
    filters: list[Literal["nearest", "area", "bilinear", "bicubic", "lanczos", "bicubic_antialiased"]] = Field(
        min_length=1
    )
    LIMITS: ClassVar = {"factor": (1.0, 16)}

    def draw(self, random: np.random.Generator) -> Record:
        return {
            "factor": _uniform(random, self.factor),
            "filter": self.filters[int(random.integers(len(self.filters)))],
        }

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        height, width = (max(1, round(side / drawn["factor"])) for side in image.shape[:2])
        return resized(image, (height, width), drawn["filter"])


class Noise(Step):
    """The sensor's noise: photons that arrive by chance (`shot`: variance a unit of signal) and the amplifier's
    (`read`: standard deviation). Both are drawn on a logarithmic scale."""

    step: Literal["noise"]
    shot: Range
    read: Range
    LIMITS: ClassVar = {"shot": (1e-6, 1), "read": (1e-6, 1)}

    def draw(self, random: np.random.Generator) -> Record:
        return {"shot": _log_uniform(random, self.shot), "read": _log_uniform(random, self.read), **_seed(random)}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        random = np.random.default_rng(drawn["seed"])
        photons = random.poisson(np.maximum(image, 0) / drawn["shot"])
        noise = random.standard_normal(image.shape, dtype=np.float32) * np.float32(drawn["read"])
        return (photons * drawn["shot"]).astype(np.float32) + noise


class Chroma(Step):
    """Blotches of colour, as cheap cameras leave them: noise in Cb and Cr of standard deviation `strength`, at half
    the resolution."""

    step: Literal["chroma"]
    strength: Range
    LIMITS: ClassVar = {"strength": (0.0, 1)}

    def draw(self, random: np.random.Generator) -> Record:
        return {"strength": _uniform(random, self.strength), **_seed(random)}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        random = np.random.default_rng(drawn["seed"])
        height, width = image.shape[:2]
        coarse = random.standard_normal(((height + 1) // 2, (width + 1) // 2, 2), dtype=np.float32)
        blue, red = np.moveaxis(resized(coarse, (height, width), "bilinear") * np.float32(drawn["strength"]), -1, 0)
        # Cb and Cr to RGB by ITU-R BT.601; the luma stays
        shift = np.stack([1.402 * red, -0.344136 * blue - 0.714136 * red, 1.772 * blue], axis=-1)
        return image + shift.astype(np.float32)


class Interlace(Step):
    """Two fields of a moving scene in one frame: every other line is `shift` px further."""

    step: Literal["interlace"]
    shift: Range
    LIMITS: ClassVar = {"shift": (0, 32)}

    def draw(self, random: np.random.Generator) -> Record:
        sign = 1 if random.random() < 0.5 else -1
        return {"shift": sign * int(random.integers(round(self.shift[0]), round(self.shift[1]) + 1))}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        width = image.shape[1]
        late = image.copy()
        late[1::2] = image[1::2, np.clip(np.arange(width) - drawn["shift"], 0, width - 1)]
        return late


class Jpeg(Step):
    """JPEG of a `quality` between 1 and 100."""

    step: Literal["jpeg"]
    quality: Range
    LIMITS: ClassVar = {"quality": (1, 100)}

    def draw(self, random: np.random.Generator) -> Record:
        return {"quality": int(random.integers(round(self.quality[0]), round(self.quality[1]) + 1))}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        import cv2

        bgr = quantised(image)[..., ::-1]
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, drawn["quality"]])
        decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return _floats(decoded[..., ::-1])


class Video(Step):
    """A key frame of a video codec with a fixed `quantiser`: 2 to 31 of MPEG-2, 1 to 51 of H.264."""

    step: Literal["video"]
    codec: Literal["mpeg2", "h264"]
    quantiser: Range
    LIMITS: ClassVar = {"quantiser": (1, 51)}

    def draw(self, random: np.random.Generator) -> Record:
        low, high = (round(bound) for bound in self.quantiser)
        return {"codec": self.codec, "quantiser": int(random.integers(low, high + 1))}

    @staticmethod
    def apply(image: Floats, drawn: Mapping[str, Any]) -> Floats:
        height, width = image.shape[:2]
        # Codecs take whole macroblocks and make up the rest; made up here, every build pads in one way
        padding = ((0, -height % MACROBLOCK), (0, -width % MACROBLOCK), (0, 0))
        frame = _through_codec(np.pad(quantised(image), padding, mode="edge"), drawn["codec"], drawn["quantiser"])
        return _floats(frame[:height, :width])


AnyStep = Annotated[
    Union[LowLight, Defocus, Motion, Downscale, Noise, Chroma, Interlace, Jpeg, Video],  # noqa: UP007
    Field(discriminator="step"),
]
STEPS: dict[str, type[Step]] = {
    "low_light": LowLight,
    "defocus": Defocus,
    "motion": Motion,
    "downscale": Downscale,
    "noise": Noise,
    "chroma": Chroma,
    "interlace": Interlace,
    "jpeg": Jpeg,
    "video": Video,
}


LIGHT = ("low_light",)
"""The steps that one tone curve for the whole image can undo."""


def degrade(image: Uint8, steps: Sequence[AnyStep], seed: int, *words: str | int) -> tuple[Uint8, list[Record]]:
    """What a camera leaves of an image, and what was drawn for it.

    Args:
        image: 8-bit RGB `[H, W, 3]`.
        words: what belongs to this case besides the seed, such as level, key and epoch.

    Returns:
        The frame, 8-bit `[h, w, 3]`, smaller where a step downscales; and a record for each step that happened.
    """
    records = [record for _, record in drawn(steps, seed, *words)]
    return replay(image, records), records


def drawn(steps: Sequence[AnyStep], seed: int, *words: str | int) -> Iterator[tuple[int, Record]]:
    """Number and record of each step that happens to one image, in their order."""
    for number, step in enumerate(steps):
        # A generator a step: a change to one leaves what the others draw
        random = generator(seed, *words, number)
        if random.random() < step.chance:
            yield number, {"step": step.step, **step.draw(random)}


def replay(image: Uint8, records: Sequence[Mapping[str, Any]]) -> Uint8:
    """Repeat a case from its records, exactly."""
    frame = _floats(image)
    for record in records:
        frame = STEPS[record["step"]].apply(frame, record)
    return quantised(frame)


def resized(image: Any, size: tuple[int, int], filter: str) -> Any:
    """The image at `size` (H, W) through one of FILTERS; 8-bit in, 8-bit out.

    `bicubic_antialiased` is MATLAB's `imresize`, with which the images of published super-resolution were reduced.
    """
    import cv2

    if filter == "bicubic_antialiased":
        return _antialiased(image, size)
    codes = (cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    return cv2.resize(image, (size[1], size[0]), interpolation=codes[FILTERS.index(filter)])


def disc(radius: float) -> npt.NDArray[Any]:
    """The weight of each pixel in a disc, `[2r + 1, 2r + 1]`.

    One at the rim counts by the part of it that is inside, or the radius would act in whole steps.
    """
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)


def _antialiased(image: Any, size: tuple[int, int]) -> Any:
    """Keys' cubic with a = -0.5, as wide as the step between the new pixels; past the border the image is mirrored."""
    from PIL import Image

    if image.dtype == np.uint8:
        return quantised(_antialiased(_floats(image), size))
    height, width = image.shape[:2]
    reach = 2 * math.ceil(max(2, height / size[0] * 2, width / size[1] * 2))
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    box = (reach, reach, reach + width, reach + height)
    channels = [
        Image.fromarray(np.ascontiguousarray(channel)).resize((size[1], size[0]), Image.Resampling.BICUBIC, box)
        for channel in np.moveaxis(padded, -1, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def quantised(image: Floats) -> Uint8:
    """Floats to 8 bits, rounded to the nearest level."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _floats(image: Uint8) -> Floats:
    return image.astype(np.float32) / np.float32(255)


def _filtered(image: Floats, kernel: npt.NDArray[Any]) -> Floats:
    import cv2

    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


def _uniform(random: np.random.Generator, bounds: Sequence[float]) -> float:
    return random.uniform(bounds[0], bounds[1])


def _log_uniform(random: np.random.Generator, bounds: Sequence[float]) -> float:
    return math.exp(random.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _seed(random: np.random.Generator) -> Record:
    return {"seed": int(random.integers(2**32))}


def _through_codec(frame: Uint8, codec: str, quantiser: int) -> Uint8:
    """Encode a key frame and decode it, on one thread, which makes it the same every time."""
    import av

    encoder: Any = av.CodecContext.create({"mpeg2": "mpeg2video", "h264": "libx264"}[codec], "w")
    encoder.height, encoder.width = frame.shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    if codec == "mpeg2":
        encoder.qmin = encoder.qmax = quantiser
    else:
        encoder.options = {"qp": str(quantiser), "preset": "veryfast", "tune": "zerolatency"}
    decoder: Any = av.CodecContext.create({"mpeg2": "mpeg2video", "h264": "h264"}[codec], "r")
    decoder.thread_count = 1
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")), *encoder.encode(None)]
    decoded = [image for packet in [*packets, None] for image in decoder.decode(packet)]
    return decoded[0].to_ndarray(format="rgb24")
