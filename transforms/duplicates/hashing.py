"""Hashes for kernels, the same on any machine.

```
value      mixed (SplitMix64, `byline.splitmix`)     bytes      murmur3 with seed 0 (as `mmh3.hash64`)
0          0xE220A8397B1DCDAF                        "hello"    0xCBD8A7B341BD9B02  0x5B1E906A48AE1D19
```

All numbers are uint64; with a signed one among them numba would make a float.
"""

import numpy as np
from numba import njit

from byline.transforms.duplicates.eight_bytes import EIGHT, load

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_X1, _X2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)

_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_A1, _A2, _FIVE = np.uint64(0x52DCE729), np.uint64(0x38495AB5), np.uint64(5)
_S33, _S64, _SIXTEEN = np.uint64(33), np.uint64(64), np.uint64(16)


@njit(nogil=True, cache=True, forceinline=True)
def mixed(value: int) -> int:
    """The SplitMix64 step of a uint64."""
    value = value + GOLDEN
    value = (value ^ (value >> _S30)) * _X1
    value = (value ^ (value >> _S27)) * _X2
    return value ^ (value >> _S31)


@njit(nogil=True, cache=True, forceinline=True)
def _turned(value: int, bits: int) -> int:
    return value << np.uint64(bits) | value >> (_S64 - np.uint64(bits))


@njit(nogil=True, cache=True, forceinline=True)
def _finished(value: int) -> int:
    value = (value ^ (value >> _S33)) * _M1
    value = (value ^ (value >> _S33)) * _M2
    return value ^ (value >> _S33)


@njit(nogil=True, cache=True)
def murmur3(data: np.ndarray, begin: int, end: int, seed: int) -> tuple[int, int]:
    """MurmurHash3_x64_128 (Austin Appleby, public domain) of some bytes."""
    h1 = h2 = seed
    at, stop = np.uint64(begin), np.uint64(end)
    while at + _SIXTEEN <= stop:
        h1 ^= _turned(load(data, at, stop) * _C1, 31) * _C2
        h1 = (_turned(h1, 27) + h2) * _FIVE + _A1
        h2 ^= _turned(load(data, at + EIGHT, stop) * _C2, 33) * _C1
        h2 = (_turned(h2, 31) + h1) * _FIVE + _A2
        at += _SIXTEEN
    if at + EIGHT < stop:
        h2 ^= _turned(load(data, at + EIGHT, stop) * _C2, 33) * _C1
    if at < stop:
        h1 ^= _turned(load(data, at, stop) * _C1, 31) * _C2
    size = np.uint64(end - begin)
    h1, h2 = h1 ^ size, h2 ^ size
    h1 += h2
    h2 += h1
    h1, h2 = _finished(h1), _finished(h2)
    h1 += h2
    return h1, h2 + h1
