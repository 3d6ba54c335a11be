"""Errors that all layers share."""


class UsageError(ValueError):
    """What the user asked for can't be done; the message is one line that names the remedy."""
