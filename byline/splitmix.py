"""SplitMix64: a hash of 64 bits by arithmetic alone, the same on any machine, for whole arrays.

```
value                     splitmix64
0                         0xE220A8397B1DCDAF
0x9E3779B97F4A7C15        0x6E789E6AA1B965F4
```

One step of the generator of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

import numpy as np


def splitmix64(values: np.ndarray) -> np.ndarray:
    """The SplitMix64 step of each uint64; a bijection, so distinct values stay distinct."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
