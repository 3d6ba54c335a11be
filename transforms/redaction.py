"""Replaces secrets in URLs, before these are shown, logged or published.

A secret is the user and password before the host, the query, the fragment, and parameters of a path
(`;jsessionid=…`). Workers and libraries get whole URLs; what is printed, logged or published goes
through `redact`, or `redact_url` where all of a text is one URL.
"""

import re
from typing import Any

SHOWN = "***"

#: What comes before the user or host of a URL. Such as `http:/\\user:password@host`, without its
#: scheme or with one that is mistyped, is refused, and named in a message.
_SCHEME = r"\b(?:https?|ftps?|s3|gs):[/\\]*|://"
_MISTYPED = r"(?<!:)[/\\]{2}(?=[^\s/?#@]*:[^\s@]*@)|\w:[/\\]+(?=[^\s/\\?#@]*:[^\s@]*@)"
_BARE = r"(?=[^\s/\\:@=\"'(<]+:(?!:)[^\s/\\@]+@)"
_START = re.compile(rf"{_SCHEME}|{_MISTYPED}|(?:\A|(?<==)){_BARE}", re.IGNORECASE)
#: Where a URL may be in a text, up to where white space ends it; and the end of one that is quoted
#: without its scheme and host, as libraries do: `/path?token=…`.
_IN_TEXT = re.compile(
    rf"(?:{_SCHEME}|{_MISTYPED}|(?<![^\s=\"'(<]){_BARE})\S+|(?<=[^\s?])\?[\w.%\[\]-]+=\S+",
    re.IGNORECASE,
)
#: What comes after a URL in a sentence, rather than being its end.
_AFTER = "\"'`)]},;:.!…"
#: In a store `?` is a wildcard of keys, unless a name and value come after it.
_STORE_QUERY = re.compile(r"\?[\w.%\[\]-]+=")
_PLAIN_HOST = re.compile(r"\[[\da-fA-F:.]*\]|[^@:]*")
_PARAMETERS = re.compile(r";[\w.%-]+=[^/?#]*")


def redact(text: str) -> str:
    """Returns a text without the secrets of the URLs in it.

    >>> redact("asked http://alice:secret@host/a.jpg?token=b, twice")
    'asked http://***@host/a.jpg?***, twice'
    """
    return _IN_TEXT.sub(_redact_match, text)


def redact_url(url: str) -> str:
    """Returns a URL without its secrets, whatever characters they hold; a path stays as it is.

    >>> redact_url("https://host/{image_id}.jpg?token=a b")
    'https://host/{image_id}.jpg?***'
    """
    for start, stop in reversed(find_secrets(url)):
        url = url[:start] + SHOWN + url[stop:]
    return url


def redact_value(value: Any) -> Any:
    """Returns the value of a flag, with the URLs in it redacted."""
    if isinstance(value, str):
        return redact_url(value)
    if isinstance(value, list | tuple):
        return type(value)(map(redact_value, value))
    return value


def find_secrets(url: str) -> list[tuple[int, int]]:
    """Returns where the secrets of a URL start and stop, in order; a path has none."""
    begun = _START.search(url)
    if begun is None:
        return []
    is_store = begun[0][:3].lower() in ("s3:", "gs:")
    found = []
    user = begun.end()
    while True:
        path = _end_of_user(url, user)
        found.append((user, path))
        query, fragment = _end_of_path(url, path, is_store)
        inner = url.find("://", path, query)  # as in addresses of caches
        if inner < 0:
            break
        user = inner + len("://")
    found += [(match.start() + 1, match.end()) for match in _PARAMETERS.finditer(url, path, query)]
    found += [(query + 1, fragment), (fragment + 1, len(url))]
    return [(start, stop) for start, stop in found if start < stop]


def _redact_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(_AFTER)
    rest = match[0][len(url) :]
    return (f"?{SHOWN}" if url.startswith("?") else redact_url(url)) + rest


def _end_of_user(url: str, start: int) -> int:
    """Returns where `USER:PASSWORD@` ends, before its `@`; `start` if there is none.

    A password may hold what it shouldn't. So a `@` in the path is taken for its end where there is
    a password, or may be one before what looks like a port. Where there is a `@` in the query or
    fragment, all that follows `start` may be of a password, and the URL ends with it.
    """
    stop = min(_find(url, each, start) for each in "/?#")
    query = min(_find(url, each, start) for each in "?#")
    at = url.rfind("@", start)
    if at < 0 or _PLAIN_HOST.fullmatch(url, start, stop):
        return start
    return at if at < query else len(url)


def _end_of_path(url: str, start: int, is_store: bool) -> tuple[int, int]:
    """Returns where the query (`?`) and the fragment (`#`) begin; else where the URL ends."""
    if is_store:
        match = _STORE_QUERY.search(url, start)
        return (match.start() if match else len(url)), len(url)
    fragment = _find(url, "#", start)
    return min(_find(url, "?", start), fragment), fragment


def _find(url: str, text: str, start: int) -> int:
    """Returns where a text is; the URL's end if it isn't there."""
    found = url.find(text, start)
    return len(url) if found < 0 else found
