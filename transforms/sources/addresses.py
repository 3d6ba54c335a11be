"""Which URLs and addresses may be asked for pictures: URLs of published files aren't trusted."""

import ipaddress
from urllib.parse import urljoin, urlsplit

from transforms.dataset.failures import PixelError, Reason
from transforms.storage.endpoints import quoted

_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: No hosts of pictures, or tunnels to others, though some version of Python calls them global.
_REFUSED = {
    ipaddress.ip_network("192.0.0.0/24"): "reserved",
    ipaddress.ip_network("192.88.99.0/24"): "a 6to4 relay",
    ipaddress.ip_network("168.63.129.16/32"): "a metadata service",
    ipaddress.ip_network("2001::/32"): "a Teredo tunnel",
    ipaddress.ip_network("2002::/16"): "a 6to4 tunnel",
}


def checked_url(url: str, base: str = "") -> str:
    """Returns a URL as it is to be asked, with what isn't ASCII quoted.

    Args:
        url: an absolute one, or one relative to `base`.
        base: the URL that redirected to it.

    Raises:
        PixelError: blocked_address, if it isn't http or https with a host.
    """
    try:
        whole = urljoin(base, url.strip()) if base else url.strip()
        parts = urlsplit(whole)
        if parts.scheme in ("http", "https") and parts.hostname:
            return quoted(whole)
    except ValueError:
        pass  # nor is that a URL
    raise PixelError(Reason.BLOCKED_ADDRESS, f"only http and https are asked: {url[:200]!r}")


def refusal(address: str) -> str | None:
    """Returns why an IP address may not be connected to, or None if it may.

    Args:
        address: IPv4 or IPv6, as resolved; one with a zone (`fe80::1%eth0`) is link-local.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:  # how hosts without IPv4 reach IPv4
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    for name in ("loopback", "link_local", "multicast", "unspecified", "reserved", "private"):
        if getattr(ip, f"is_{name}"):
            return f"{address} is {name.replace('_', '-')}"
    for network, what in _REFUSED.items():
        if ip in network:
            return f"{address} is {what}"
    if not ip.is_global or (ip.version == 6 and ip not in _GLOBAL_V6):
        return f"{address} is not global"
    return None
