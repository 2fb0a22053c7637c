"""A camera on the network: its frames as they come, in bounded memory, whatever the network does.

- RTSP over TCP, and JPEGs in a multipart answer over HTTP. FFmpeg is let use these protocols and no other, so that no
  answer leads elsewhere.
- A thread of its own receives. It holds at most `HELD` frames; where they are not taken fast enough the oldest go.
- A connection that breaks off is taken up again, after pauses that grow. The first one is not: its address is wrong
  more often than its camera is away.
- Times are those at which frames arrived, in milliseconds, so that gaps stay gaps.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Generator
from fractions import Fraction
from threading import Condition, Event, Thread

import av
from av.error import ExitError, FFmpegError

from afterimage.core.errors import ImageError, VideoError
from afterimage.datasets.sources.video import bounded
from afterimage.video import reading
from afterimage.video.reading import Clip, Frame, Memory

WAYS = {
    "rtsp": ("rtsp", {"protocol_whitelist": "rtsp,tcp", "rtsp_transport": "tcp"}),
    "http": ("mpjpeg", {"protocol_whitelist": "http,tcp"}),
}
"""What an address begins with, FFmpeg's name of the only format that is read there, and its options."""
OPTIONS = {"use_wallclock_as_timestamps": "1", "analyzeduration": "1000000"}
TIMEOUT = 10.0
"""Seconds without an answer, or without anything more."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each attempt to connect again; a frame that comes begins them anew."""
HELD = 16
"""Frames that wait to be restored."""
ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether this looks like an address, not a path; paths have made one slash of two."""
    return ADDRESS.match(text) is not None


def shown(address: str) -> str:
    """An address as it may be printed: without the password, and without a query, where cameras take passwords too."""
    hidden = re.sub(r"^([^:]+:/+)([^:/@]*):.*@", r"\1\2:***@", address, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", hidden, flags=re.DOTALL)


class Feed:
    """The frames of a camera.

    Attributes:
        name: its address, as it may be printed.
        dropped: how many frames were not taken in time.
        fault: why it ended, if nobody stopped it.
    """

    def __init__(self, address: str, say: Callable[[str], None]):
        """Args:
            say: is told in a line when a connection breaks off, and how it goes on.

        Raises:
            VideoError: it is no address that is read here.
        """
        self.name = shown(address)
        scheme = address.partition("://")[0].lower()
        if scheme not in WAYS or "://" not in address:
            expected = " or ".join(f"{way}://" for way in WAYS)
            raise VideoError(f"{self.name}: a stream begins with {expected}")
        self.dropped = 0
        self.fault = ""
        self._address, self._way, self._say = address, WAYS[scheme], say
        self._clip: Clip | None = None
        self._held = deque[av.VideoFrame]()
        self._came = 0
        self._over = False
        self._changed = Condition()
        self._stopping = Event()

    def connect(self) -> Clip:
        """Begin to receive; what the first frame is like.

        Raises:
            VideoError: none came.
        """
        Thread(target=self._receive, name=f"receive {self.name}", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._clip or self._over)
        if self._clip is None:
            raise VideoError(f"{self.name}: {self.fault or 'stopped before its first frame'}")
        return self._clip

    def stop(self) -> None:
        """End it, from any thread or a signal: what was not taken yet is not given any more."""
        self._stopping.set()  # without a lock, which the interrupted thread may hold

    def frames(self, clip: Clip, count: int | None = None) -> Generator[Frame, None, None]:
        """Frames as they come, until it is stopped, breaks off for good, or so many were given."""
        first: float | None = None
        last = -1
        while count is None or count > 0:
            frame = self._next()
            if frame is None:
                return
            arrived = frame.time if frame.time is not None else time.time()
            first = arrived if first is None else first
            last = max(last + 1, round((arrived - first) / clip.time_base))
            count = None if count is None else count - 1
            yield Frame(last, reading.fitted(frame, clip))
        self.stop()

    def _next(self) -> av.VideoFrame | None:
        with self._changed:
            while not self._stopping.is_set():
                if self._held:
                    return self._held.popleft()
                if self._over:
                    return None
                self._changed.wait(0.1)  # not for ever: `stop` tells nobody
        return None

    def _receive(self) -> None:
        try:
            failed = 0
            while not self._stopping.is_set():
                before = self._came
                reason = self._connection()
                failed = 0 if self._came > before else failed
                if self._stopping.is_set():
                    return
                if not self._came or failed == len(PAUSES):
                    self.fault = f"{reason}; gave up after {failed} attempts" if failed else reason
                    return
                pause, failed = PAUSES[failed], failed + 1
                self._say(f"{self.name}: {reason}; attempt {failed} of {len(PAUSES)} in {pause:g} s")
                self._stopping.wait(pause)
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _connection(self) -> str:
        """Receive until it ends; returns why it did."""
        form, options = self._way
        try:
            with av.open(self._address, format=form, options={**OPTIONS, **options}, timeout=TIMEOUT) as container:
                if not container.streams.video:
                    return "no video in this stream"
                for frame in reading.decoded(container, deque(maxlen=1)):
                    if self._stopping.is_set():
                        return ""
                    bounded(frame.width, frame.height)
                    if self._clip is None:
                        place = Memory(self.name, b"", form)
                        found = reading.described(place, container.streams.video[0], frame)
                        self._clip = found._replace(rate=Fraction(25), time_base=Fraction(1, 1000))
                    self._hold(frame)
        except ExitError:
            return f"nothing came for {TIMEOUT:g} s"
        except (FFmpegError, OSError, ValueError, ImageError) as error:  # their texts may hold the address
            return str(getattr(error, "strerror", None) or (error if isinstance(error, ImageError) else "unreadable"))
        return "it ended"

    def _hold(self, frame: av.VideoFrame) -> None:
        with self._changed:
            if len(self._held) == HELD:
                self._held.popleft()
                self.dropped += 1
            self._held.append(frame)
            self._came += 1
            self._changed.notify_all()
