"""The exception of predictions that can't be read."""


class PredictionsError(ValueError):
    """A file isn't what it should be; the message is one line that names it."""
