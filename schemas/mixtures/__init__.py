"""Mixtures: how a stage's tokens are divided between its sources.

A method is a class below `Mixture` in a module of this package, and one line of `METHODS`; its fields are its settings,
and it knows its weights at any point of a stage. One of a user's own is named `package.module:Class`. They stand beside
the recipe's other shapes since all of it is arithmetic on settings; docs/recipes.md defines the methods.
"""

from byline.schemas.mixtures.by_size import Epochs, Natural, Temperature, Unimax
from byline.schemas.mixtures.mixture import Mixture
from byline.schemas.mixtures.schedules import Cosine, Linear, Piecewise
from byline.schemas.mixtures.weights import Weights

METHODS: dict[str, type[Mixture]] = {
    method.kind: method
    for method in (
        Natural,
        Weights,
        Temperature,
        Unimax,
        Epochs,
        Piecewise,
        Linear,
        Cosine,
    )
}
