"""What was read and made for a visitor, kept as long as there is room: all of it together has bounds.

It is reached through the visitor's session alone. What has not been used for longest is forgotten first, whosever it
is, and made again when it is needed again.
"""

import itertools
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import numpy as np
import streamlit as st
from PIL import Image

from afterimage.core.errors import AfterimageError

T = TypeVar("T")
Name = tuple[str, Hashable]
"""Of a value: its group, and its key there."""

MAX_MEGABYTES = 2000
"""Of all visitors together."""
MAX_MEGABYTES_EACH = 800
"""Of one visitor: of ten pictures of 25 megapixels, or of thousands of small ones."""
LEAST = 1000
"""Bytes that anything counts."""

_LOCK = threading.Lock()
_NUMBERS = itertools.count()
_SIZES: OrderedDict[tuple[int, Name], dict[int, int]] = OrderedDict()
"""Bytes of everything by visitor and name, the longest unused first; object by object, since values share pictures."""
_VISITORS: weakref.WeakValueDictionary[int, "Visitor"] = weakref.WeakValueDictionary()
_GONE: deque[int] = deque()
"""Visitors who went, which happens at any time, and so without the lock."""


class Visitor:
    """What is kept for one visitor; it lives in the session's state, and goes with it."""

    def __init__(self) -> None:
        self.number = next(_NUMBERS)
        self.subjects: dict[str, Hashable] = {}
        """What each group is about, such as the visitor's picture; of what it was about before, nothing is kept."""
        self.values: dict[Name, Any] = {}
        _VISITORS[self.number] = self
        weakref.finalize(self, _GONE.append, self.number)


def once(group: str, subject: Hashable, key: Hashable, make: Callable[[], T]) -> T:
    """`make()` the first time, and what it made from then on, until the group has another subject or room is short."""
    value: T | None = find(group, subject, key)
    if value is None:
        value = make()
        put(group, subject, key, value)
    return value


def find(group: str, subject: Hashable, key: Hashable) -> Any:
    """What is kept, or None."""
    return _find(_mine(), group, subject, key)


def every(group: str, subject: Hashable) -> dict[Hashable, Any]:
    """All that is kept of a group by its keys, the first kept first."""
    mine = _mine()
    with _LOCK:
        found = mine.values.items() if mine.subjects.get(group) == subject else ()
        return {name[1]: value for name, value in found if name[0] == group}


def later(group: str, subject: Hashable, key: Hashable, use: Callable[[Any], T]) -> Callable[[], T]:
    """A function that uses what is kept when it is called, from any thread; until then it holds on to nothing."""
    mine = _mine()

    def used() -> T:
        value = _find(mine, group, subject, key)
        if value is None:
            raise AfterimageError("This result is no longer kept here; reload the page and make it again.")
        return use(value)

    return used


def _find(mine: Visitor, group: str, subject: Hashable, key: Hashable) -> Any:
    with _LOCK:
        if mine.subjects.get(group) != subject or (group, key) not in mine.values:
            return None
        _SIZES.move_to_end((mine.number, (group, key)))
        return mine.values[group, key]


def put(group: str, subject: Hashable, key: Hashable, value: Any) -> None:
    """Keep a value, and forget others where that is too much."""
    mine = _mine()
    with _LOCK:
        _sweep()
        if mine.subjects.get(group) != subject:
            mine.subjects[group] = subject
            _forget(mine.number, [name for name in mine.values if name[0] == group])
        mine.values[group, key] = value
        _SIZES[mine.number, (group, key)] = {id(value): LEAST, **sizes(value)}
        _SIZES.move_to_end((mine.number, (group, key)))
        while _total(_SIZES[mine.number, name] for name in mine.values) > MAX_MEGABYTES_EACH * 1_000_000:
            _forget(mine.number, [next(name for number, name in _SIZES if number == mine.number)])
        while _total(_SIZES.values()) > MAX_MEGABYTES * 1_000_000:
            number, name = next(iter(_SIZES))
            _forget(number, [name])


def held() -> int:
    """Bytes of everything that is kept."""
    with _LOCK:
        _sweep()
        return _total(_SIZES.values())


def sizes(value: Any) -> dict[int, int]:
    """Bytes of the pictures, arrays and files in a value, by their identity."""
    if isinstance(value, Image.Image):
        return {id(value): value.width * value.height * len(value.getbands())}
    if isinstance(value, np.ndarray):
        return {id(value): value.nbytes}
    if isinstance(value, bytes):
        return {id(value): len(value)}
    parts = value if isinstance(value, (list, tuple)) else vars(value).values() if hasattr(value, "__dict__") else ()
    return {each: count for part in parts for each, count in sizes(part).items()}


def _total(found: Iterable[dict[int, int]]) -> int:
    return sum({each: count for part in found for each, count in part.items()}.values())


def _mine() -> Visitor:
    if "kept" not in st.session_state:
        st.session_state["kept"] = Visitor()
    mine: Visitor = st.session_state["kept"]
    return mine


def _forget(number: int, names: Iterable[Name]) -> None:
    visitor = _VISITORS.get(number)
    for name in names:
        del _SIZES[number, name]
        if visitor is not None:
            del visitor.values[name]


def _sweep() -> None:
    """Count no longer what visitors had who are gone."""
    while _GONE:
        number = _GONE.popleft()
        for each in [each for each in _SIZES if each[0] == number]:
            del _SIZES[each]
