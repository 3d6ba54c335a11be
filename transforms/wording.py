"""Numbers and what they are of, as people are told."""


def counted(number: int, noun: str) -> str:
    """How many of something.

    >>> counted(1, "image"), counted(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def exceeds(some: int, total: int, limit: float) -> bool:
    """Whether a share of a total is above a limit; nothing is above 1.

    >>> exceeds(29, 100, 0.29), exceeds(30, 100, 0.29)
    (False, True)
    """
    return total > 0 and some / total > limit and limit < 1


def share_above(some: int, total: int, limit: float) -> str:
    """Returns a share that `exceeds` a limit, with the digits that show so, and that it isn't all.

    >>> share_above(1, 3, 0.01), share_above(10001, 1000000, 0.01), share_above(99999, 100000, 0.5)
    ('33.33%', '1.0001%', '99.999%')
    """
    texts = [f"{some / total:.{digits}%}" for digits in range(2, 18)]
    for text in texts:
        shown = float(text[:-1]) / 100
        if shown > limit and (shown < 1) == (some < total):
            return text
    return texts[-1]
