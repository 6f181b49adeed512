"""The two framing habits most devices have: a frame between two marks, and a frame that says its length.

Both keep what is incomplete, never hold more than one frame and what came with it, and count in `dropped` the bytes
that became no frame: what is fed is in a frame, dropped, or held.
"""

from __future__ import annotations

from collections.abc import Callable

PIECE = 256  # bytes looked at together, so that a flood is never held as one


class Delimited:
    """Frames from `start` to `end`, both included. A new `start` begins anew; `abort` drops what was begun.

    Bytes before a `start` are skipped. A frame longer than `max_len` is dropped, up to the next `start`.
    """

    def __init__(self, start: bytes, end: bytes, max_len: int, abort: bytes = b"") -> None:
        assert len(start) == len(end) == 1
        assert len(abort) <= 1
        self.dropped = 0
        self._start, self._end, self._abort = start[0], end[0], abort
        self._max_len = max_len
        self._held = bytearray()  # empty, or begins with `start`

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        frames: list[bytes] = []
        for byte in data:
            if byte == self._start:
                if self._held:
                    self._drop()
                self._held.append(byte)
            elif not self._held:
                self.dropped += 1
            elif byte == self._end:
                frames.append(bytes((*self._held, byte)))
                self._held.clear()
            elif bytes((byte,)) == self._abort or len(self._held) + 2 > self._max_len:
                self.dropped += 1
                self._drop()
            else:
                self._held.append(byte)
        return frames

    def flush(self) -> None:
        """Forget what is incomplete."""
        self._drop()

    def _drop(self) -> None:
        self.dropped += len(self._held)
        self._held.clear()


class Counted:
    """Frames that begin with `start` and whose head says how long they are.

    `length` is given what is held (it begins with `start`) and says the whole frame's length in bytes, None while the
    head is too short to tell, or 0 where no frame begins so. `check` judges a whole frame; one that fails is given
    back to the search but for its first byte, because a false start must not swallow the frame behind it.
    """

    def __init__(
        self, start: bytes, length: Callable[[bytes], int | None], max_len: int, check: Callable[[bytes], bool]
    ) -> None:
        assert len(start) == 1
        self.dropped = 0
        self._start = start
        self._length = length
        self._max_len = max_len
        self._check = check
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        frames: list[bytes] = []
        for at in range(0, len(data), PIECE):
            self._held += data[at : at + PIECE]
            frames += self._cut()
        return frames

    def flush(self) -> None:
        """Forget what is incomplete."""
        self._skip(len(self._held))

    def _cut(self) -> list[bytes]:
        frames: list[bytes] = []
        while self._held:
            if self._held[:1] != self._start:
                begins = self._held.find(self._start)
                self._skip(len(self._held) if begins < 0 else begins)
                continue
            length = self._length(bytes(self._held[: self._max_len]))
            if length is None and len(self._held) < self._max_len:
                break
            if length is None or not 0 < length <= self._max_len:
                self._skip(1)
                continue
            if len(self._held) < length:
                break
            frame = bytes(self._held[:length])
            if self._check(frame):
                frames.append(frame)
                del self._held[:length]
            else:
                self._skip(1)
        return frames

    def _skip(self, count: int) -> None:
        del self._held[:count]
        self.dropped += count
