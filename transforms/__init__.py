"""The steps: in each package pure functions over `pa.RecordBatch` first, the PTransform last."""

if __name__ != "byline.transforms":
    # From a checkout's folder this would be a second copy of every module, under a second name.
    raise ImportError(f"{__name__}: import byline.transforms instead")
