"""Published settings of MinHash, by name.

| preset | bands x rows | shingles | of the form | half of the pairs are candidates at | removed from |
|---|---|---|---|---|---|
| `fineweb` | 14 x 8 | 5 words | `simplified` | 0.72 | 0.75 |
| `nemo` | 20 x 13 | 24 characters | as `normalization` leaves it | 0.79 | 0.8 |
| `strict` | 26 x 11 | 5 words | `text` | 0.74 | 0.8 |

Of two texts whose shingles have a Jaccard similarity s, the chance to be candidates is 1 - (1 - s^rows)^bands; where it
rises most steeply is about (1 / bands)^(1 / rows). `fineweb`: Penedo et al., "The FineWeb Datasets", 2024, and
datatrove (which does not verify: what it aims at is 75 %). `nemo`: NVIDIA NeMo Curator's fuzzy deduplication, at 0.8.
"""

from dataclasses import dataclass
from fractions import Fraction

from byline.transforms.duplicates.normalizing import Form
from byline.transforms.duplicates.shingles import Shingling


@dataclass(frozen=True)
class Preset:
    """What near duplicates are.

    Attributes:
        bands: of a signature.
        rows: hash functions of a band.
        shingling: what is compared of a text.
        form: of the text, unless the form in which texts count as equal says less yet: then equal texts have the same
            shingles.
        similarity: the Jaccard similarity from which on a document is a near duplicate, if nothing else is asked.
    """

    bands: int
    rows: int
    shingling: Shingling
    form: Form
    similarity: Fraction


PRESETS = {
    "fineweb": Preset(14, 8, Shingling(5, "words"), "simplified", Fraction(3, 4)),
    "nemo": Preset(20, 13, Shingling(24, "characters"), "exact", Fraction(4, 5)),
    "strict": Preset(26, 11, Shingling(5, "words"), "text", Fraction(4, 5)),
}
