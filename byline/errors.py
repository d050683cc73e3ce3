"""The one error type for mistakes that a user can mend."""


class BylineError(ValueError):
    """A mistake in input, configuration or files: one line that says what, where and what to do.

    The command line prints the message without a traceback.
    """
