"""Addresses of servers that are asked by HTTP. Light to import: flags are checked by it."""

from urllib.parse import quote, urlsplit


def is_endpoint(url: str) -> bool:
    """Returns whether a text is a URL that a server can be asked by.

    >>> is_endpoint("http://localhost:9000"), is_endpoint("localhost:9000")
    (True, False)
    """
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_sound and not any(character.isspace() for character in url)


def quoted(url: str) -> str:
    """Returns a URL as HTTP has it: what isn't ASCII, and spaces, quoted.

    >>> quoted("http://host/a b%20c?ü")
    'http://host/a%20b%20c?%C3%BC'
    """
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")
