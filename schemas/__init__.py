"""The contracts between the steps, typed: configuration, document batch, token store, plan, ledger."""

if __name__ != "byline.schemas":
    # From a checkout's folder this would be a second copy of every module, under a second name.
    raise ImportError(f"{__name__}: import byline.schemas instead")
