"""So many at a time; the others wait in the order in which they came."""

import threading
from collections import deque


class Places:
    """A queue before so many places."""

    def __init__(self, free: int):
        self._free = free
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def enter(self) -> threading.Event:
        """Join the queue; the event is set when there is a place."""
        ticket = threading.Event()
        with self._lock:
            self._waiting.append(ticket)
            self._admit()
        return ticket

    def leave(self, ticket: threading.Event) -> None:
        """Give up a place, or the wait for one."""
        with self._lock:
            if ticket.is_set():
                self._free += 1
                self._admit()
            else:
                self._waiting.remove(ticket)

    def ahead(self, ticket: threading.Event) -> int:
        """How many wait before this one."""
        with self._lock:
            return self._waiting.index(ticket) if ticket in self._waiting else 0

    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._waiting)

    def _admit(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            self._waiting.popleft().set()
