"""The checks of `byline doctor`: what is installed, which runners can start, and whether a recipe works."""
