"""The laboratory: small models trained on Byline's builds, to see what a recipe does before paying for it."""

if __name__ != "byline.lab":
    # From a checkout's folder this would be a second copy of every module, under a second name.
    raise ImportError(f"{__name__}: import byline.lab instead")
