"""Memory whose end is guarded: a read behind it ends the process instead of finding a neighbour's bytes."""

from __future__ import annotations

import ctypes
import mmap

_PAGE = mmap.PAGESIZE


class Guarded:
    """Holds one run of bytes at a time, right in front of a page that must not be read."""

    def __init__(self, most: int) -> None:
        self._size = (most + _PAGE - 1) // _PAGE * _PAGE
        self._map = mmap.mmap(-1, self._size + _PAGE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map)) + self._size
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(_PAGE), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def hold(self, data: bytes) -> memoryview:
        """The bytes, where they stand until the next ones; ValueError where they are too many."""
        start = self._size - len(data)
        if start < 0:
            raise ValueError(f"{len(data)} bytes, but {self._size} at most")
        self._map[start : self._size] = data
        return memoryview(self._map)[start : self._size]
