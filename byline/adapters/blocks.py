"""Arrays from a worker process to its parent, in blocks of memory that both map and that are used again and again.

```
worker   take      a free block, in which arrays are made
         pack      marks it as sent; (path, where each array is) goes through a queue
parent   unpack    opens and locks the block, marks it as received; arrays over it, which may be written to
                   the last of them goes, and the lock with it
worker   take      a block is free that has no arrays in the worker, was received, and has no lock
```

Fresh memory costs more than all else that is done for a batch: each of its pages is a fault, in the worker, and again
where it arrives. So blocks stay mapped in the parent, until the worker's `Process` is gone.

The lock is that of an open file (`flock`): the kernel takes it away however a process ends, and a process forked from
the parent has a share in it, so nothing is written where anybody may still read. A block has no name in a folder
(`memfd_create`): it goes with the last process that maps it, and the size of /dev/shm does not matter. The parent opens
it by the worker's descriptor in /proc, so there are blocks on Linux alone.
"""

import math
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import active_children, parent_process

import numpy as np

if sys.platform == "linux":
    import fcntl

# Of a worker: as many as it may make batches ahead.
MOST_BLOCKS = 32
# Batches that the parent keeps in blocks, each with an open file; those beyond are copied.
MOST_KEPT = 64
_ALIGNED = 64
_SENT, _RECEIVED = 0, 1  # the first byte of a block
# Layout of an array: its type, its shape, its first byte, its strides.
Layout = tuple[str, tuple[int, ...], int, tuple[int, ...]]


@dataclass(frozen=True)
class Packed:
    """Arrays in a block.

    Attributes:
        worker: the process that has the block.
        descriptor: of the block, there.
        arrays: by name.
    """

    worker: int
    descriptor: int
    arrays: dict[str, Layout]


# ----------------------------------------------------------------------------------------------------------- a worker


class Blocks:
    """A worker's blocks."""

    def __init__(self) -> None:
        self._memories: list[_Memory] = []
        self._size = 0

    def take(self) -> "Block":
        """A block as large as the largest that was needed, or one without memory: the first, or where there is none."""
        return Block(self._free() if self._size and _can_share() else None, self._needs)

    def _needs(self, size: int) -> None:
        if size > self._size:
            # Some more, as batches differ a little.
            self._size = size + size // 8

    def _free(self) -> "_Memory | None":
        large = (memory for memory in self._memories if len(memory.bytes) >= self._size and memory.is_free)
        free = next(large, None)
        if free is not None:
            return free
        small = next((memory for memory in self._memories if memory.is_free), None)
        if small is not None:
            self._memories.remove(small)
        with suppress(OSError):
            if len(self._memories) < MOST_BLOCKS:
                self._memories.append(_Memory(self._size))
                return self._memories[-1]
        return None


class Block:
    """Where the arrays of one batch are made; those that do not fit are in memory of the worker's own."""

    def __init__(self, memory: "_Memory | None", needs: Callable[[int], None]) -> None:
        self._memory, self._needs = memory, needs
        self._bytes = np.empty(0, np.uint8) if memory is None else memory.lend()
        self._used = _ALIGNED

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of any values."""
        first, dtype = self._used, np.dtype(dtype)
        self._used += -(-math.prod(shape) * dtype.itemsize // _ALIGNED) * _ALIGNED
        if self._used > len(self._bytes):
            return np.empty(shape, dtype)
        return np.ndarray(shape, dtype, self._bytes, first)

    def pack(self, arrays: Mapping[str, np.ndarray]) -> Packed | None:
        """Arrays for the parent, those of `empty` without a copy; None if they do not fit, or went already."""
        layouts = {name: self._layout(array) for name, array in arrays.items()}
        self._needs(self._used)
        memory, self._memory = self._memory, None
        if memory is None or self._used > len(self._bytes):
            return None
        memory.bytes[0] = _SENT
        return Packed(os.getpid(), memory.descriptor, layouts)

    def _layout(self, array: np.ndarray) -> Layout:
        """Where an array is in the block; if it was made elsewhere and fits, it is copied."""
        first = _address(array) - _address(self._bytes)
        if first < 0 or first + _extent(array) > len(self._bytes):
            first = self._used
            copy = self.empty(array.shape, array.dtype)
            if self._used <= len(self._bytes):
                copy[...] = array
            array = copy
        return array.dtype.str, array.shape, first, array.strides


def _extent(array: np.ndarray) -> float:
    """Bytes from an array's first element to the end of its last; without end, where that is not said so easily."""
    if array.size == 0 or min(array.strides, default=0) < 0:
        return math.inf
    return sum((count - 1) * stride for count, stride in zip(array.shape, array.strides, strict=True)) + array.itemsize


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class _Memory:
    """Memory that is shared."""

    def __init__(self, size: int) -> None:
        self._file = os.fdopen(os.memfd_create("byline-batch"), "r+b", buffering=0)
        self._file.truncate(size)
        self.descriptor = self._file.fileno()
        self.bytes = mmap.mmap(self.descriptor, size)
        self.bytes[0] = _RECEIVED
        self._lent: weakref.ref | None = None

    def lend(self) -> np.ndarray:
        """All bytes; while there is any array over them, the memory is not free."""
        lent = np.frombuffer(self.bytes, np.uint8)
        self._lent = weakref.ref(lent)
        return lent

    @property
    def is_free(self) -> bool:
        if self.bytes[0] != _RECEIVED or (self._lent is not None and self._lent() is not None):
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True


@cache
def _can_share() -> bool:
    """Whether the parent can open what this process has open: if this one can look into the parent, it can."""
    parent = parent_process()
    if sys.platform != "linux" or parent is None:
        return False
    try:
        os.readlink(f"/proc/{parent.pid}/cwd")
    except OSError:
        return False
    return True


# ----------------------------------------------------------------------------------------------------------- its parent

# (device, inode) -> a block that stays mapped. A number is of no other file while the map has this one open.
_maps: dict[tuple[int, int], mmap.mmap] = {}
_kept: set[int] = set()  # descriptors of locks


def unpack(packed: Packed) -> dict[str, np.ndarray]:
    """The arrays, in the parent; writable. The block is taken until the last of them is gone.

    Raises:
        RuntimeError: the worker is gone, as PyTorch says it.
        OSError: the block cannot be opened.
    """
    path = f"/proc/{packed.worker}/fd/{packed.descriptor}"
    try:
        descriptor = _opened(path)
    except (FileNotFoundError, ProcessLookupError):
        raise RuntimeError(
            f"DataLoader worker (pid {packed.worker}) ended, and a batch that it had made went with it"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        memory = _mapped(path, os.fstat(descriptor), packed.worker)
        memory[0] = _RECEIVED
        block = np.frombuffer(memory, np.uint8)
    except BaseException:
        os.close(descriptor)
        raise
    _kept.add(descriptor)
    weakref.finalize(block, _unlock, descriptor).atexit = False
    arrays = {
        name: np.ndarray(shape, dtype, block, first, strides)
        for name, (dtype, shape, first, strides) in packed.arrays.items()
    }
    return arrays if len(_kept) <= MOST_KEPT else {name: array.copy() for name, array in arrays.items()}


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def _mapped(path: str, status: os.stat_result, worker: int) -> mmap.mmap:
    file = (status.st_dev, status.st_ino)
    if file in _maps:
        return _maps[file]
    # The map keeps its descriptor open, so it is not the one that has the lock.
    descriptor = _opened(path)
    try:
        memory = mmap.mmap(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    process = next((child for child in active_children() if child.pid == worker), None)
    if process is not None:
        _maps[file] = memory
        weakref.finalize(process, _maps.pop, file).atexit = False
    return memory


def _unlock(descriptor: int) -> None:
    _kept.discard(descriptor)
    # A forked process closes its own.
    os.close(descriptor)
