"""Drawn URLs, whose secrets must not show, and drawn elements, which a journal must give back."""

import json
import random
import string
from typing import Any

from apache_beam.pvalue import TaggedOutput

from pipelines.cli.secrets import mask
from transforms import element_json
from transforms.redaction import redact, redact_url, redact_value

_HOSTS = ("host", "127.0.0.1:8080", "[::1]:9000", "bucket.s3.amazonaws.com", "a-b.example")
_PATHS = ("", "/", "/{split}/{image_id}.jpg", "/a/b@c/{image_id}.png", "/%7Euser/x;v=1/y", "/a:b/c")
_SENTENCES = (
    "{}",
    "--images {}: put {{image_id}}, and {{split}}, where they belong",
    "'{}', \"{}\" and <{}>",
    "HTTPConnectionPool: Max retries exceeded with url: {} (Caused by no answer)",
    "first line\n\t{}\nlast line",
    '{{"images": ["{}"]}}',
)
#: What people put into passwords, quoted or not.
_ODD = ":/?#[]@!$&'()*+,;=%25\"<>`~^|\\{}-._é✓"


def _secret(rng: random.Random, odd: str) -> tuple[str, str]:
    """A secret, and the middle of it, by which it is known."""
    core = "".join(rng.choices(string.ascii_letters + string.digits, k=8))
    if not odd:
        return core, core
    before, after = ("".join(rng.choices(odd, k=rng.randrange(4))) for _ in range(2))
    return f"{before}{core}{after}", core


def url(number: int) -> str:
    """Draws a URL with secrets in it; looks for them in all that may be shown of it."""
    rng = random.Random(number)
    odd = rng.choice(("", "-._~%25!$&'()*+,;=", _ODD))
    cores: list[str] = []

    def draw(allowed: str = odd) -> str:
        text, core = _secret(rng, allowed)
        cores.append(core)
        return text

    scheme = rng.choice(("http", "https", "HTTP", "http=https", "ftp", "simplecache::http"))
    separator = rng.choice(("://", "://", ":/\\", ":\\\\", ":/", ":"))  # some are mistyped
    host, path = rng.choice(_HOSTS), rng.choice(_PATHS)
    user = rng.choice(("", "name", "both", "token"))
    drawn = scheme + separator
    if user == "name":  # a `/` in it couldn't be told from a path
        drawn += draw("-._~%25!$&'()*+,;=") + "@"
    elif user == "token":
        drawn += f":{draw()}@"
    elif user == "both":
        drawn += f"{draw('-._~!$&')}:{draw()}@"
    drawn += host + path
    if rng.random() < 0.6:
        names = ("token", "X-Amz-Signature", "sig", "next[]")
        values = [draw(odd.replace("#", "")) for _ in range(rng.choice((1, 2)))]
        drawn += "?" + "&".join(f"{rng.choice(names)}={value}" for value in values)
    if rng.random() < 0.3:
        drawn += "#" + draw()
    shown = [redact_url(drawn), *redact_value([drawn, (drawn,), 3])[:1]]
    sentence = rng.choice(_SENTENCES)
    shown += [redact(sentence.replace("{}", drawn)), mask(drawn.encode()).decode("latin-1")]
    for text in shown:
        for core in cores:
            if core in text:
                raise AssertionError(f"{core} of {drawn} is in {text}")
        if text != shown[-1] and redact(text) != text:
            raise AssertionError(f"{text} becomes {redact(text)}")
    if len(mask(drawn.encode())) != len(drawn.encode()):
        raise AssertionError(f"{drawn} is masked by another length")
    if not cores and shown[0] != drawn and ";" not in drawn and "@" not in path:
        raise AssertionError(f"{drawn} has no secrets, but becomes {shown[0]}")
    return f"{len(cores)} secrets"


def _value(rng: random.Random, depth: int) -> Any:
    kinds = ["none", "int", "float", "str", "bytes", "bool"]
    kinds += ["tuple", "labels", "record", "record", "output"] if depth else []
    match rng.choice(kinds):
        case "none":
            return None
        case "int":
            return rng.choice((0, -1, rng.getrandbits(90), 1 << 63))
        case "float":
            return rng.choice((0.0, -1.5, rng.random(), 1e300, 5e-324, float("inf")))
        case "bool":
            return rng.random() < 0.5
        case "str":
            return "".join(map(chr, rng.choices((34, 65, 92, 233, 0xDC80, 0x1F600), k=3)))
        case "bytes":
            return rng.randbytes(rng.randrange(50))
        case "tuple":
            return tuple(_value(rng, depth - 1) for _ in range(rng.randrange(4)))
        case "labels":
            return frozenset(f"/m/{rng.getrandbits(12):x}" for _ in range(rng.randrange(4)))
        case "output":
            return TaggedOutput(rng.choice(("failed", "counts")), _value(rng, depth - 1))
        case _:
            kind = rng.choice(element_json.RECORDS)
            return kind(*(_value(rng, depth - 1) for _ in kind._fields))


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, TaggedOutput):
        return a.tag == b.tag and _same(a.value, b.value)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


def elements(number: int) -> str:
    """Draws elements, writes and reads them; then damages what was written."""
    rng = random.Random(number)
    drawn = [_value(rng, 3) for _ in range(rng.randrange(5))]
    written = json.dumps(element_json.encode(drawn))
    if not _same(tuple(element_json.decode(json.loads(written))), tuple(drawn)):
        raise AssertionError(f"{drawn} isn't read back from {written}")
    damaged = list(written)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(damaged))
        damaged[at] = rng.choice(["", *'[]{}",:019ae\\'])
    try:
        element_json.decode(json.loads("".join(damaged)))
    except ValueError:
        return "refused"
    return "sound"
