"""What runs the steps: commands, runners, and what is shown on a console."""

if __name__ != "byline.pipelines":
    # From a checkout's folder this would be a second copy of every module, under a second name.
    raise ImportError(f"{__name__}: import byline.pipelines instead")
