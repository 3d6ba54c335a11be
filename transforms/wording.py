"""Numbers and what they are of, as people are told."""


def counted(number: int, noun: str) -> str:
    """How many of something.

    >>> counted(1, "image"), counted(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
