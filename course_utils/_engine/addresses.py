"""Which addresses of the network may be asked for a photo."""

import ipaddress
import socket
from urllib.request import getproxies, proxy_bypass

from course_utils._engine.places import downloads_allowed
from course_utils.data.images.errors import WebError
from course_utils.data.images.samples import WITHOUT_NETWORK

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 as networks of IPv6 alone see it


def is_public(address: str) -> bool:
    """Return whether an address belongs to the public internet, and to one host.

    False for loopback, private, link-local, shared, reserved, multicast and unspecified
    addresses, and for IPv6 addresses that carry such an IPv4 address inside.

    Args:
        address: IPv4 in dotted form, or IPv6 without brackets.
    """
    ip = ipaddress.ip_address(address)
    if ip.version == 6:
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in NAT64:
            inner = ipaddress.IPv4Address(ip.packed[-4:])
        if inner:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that this machine's settings name for a host, if any."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def look_up(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Return the addresses of a host that may be connected to, at least one.

    Who connects to one of these, and not to the name, reaches what was checked.

    Args:
        host: A name, or an address in any notation that the system understands.
        port: The port that will be asked for.
        allow_private: Whether private addresses may be asked too.

    Raises:
        WebError: If the host is unknown, or none of its addresses may be asked.
    """
    refuse_offline(host)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise WebError(
            f"The host {host!r} cannot be found: it does not exist, or this machine "
            f"has no network; check the address, or {WITHOUT_NETWORK}."
        ) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = [a for a in addresses if allow_private or is_public(a)]
    if not allowed:
        raise WebError(private_address(host, addresses[0]))
    return allowed


def refuse_literal(host: str, *, allow_private: bool) -> None:
    """Raise if `host` is itself a private address, where a proxy looks names up.

    Raises:
        WebError: If it is ``localhost`` or an address that may not be asked.
    """
    refuse_offline(host)
    address = _literal(host)
    if address and not allow_private and not is_public(address):
        raise WebError(private_address(host, address))


def refuse_offline(host: str) -> None:
    """Raise if COURSE_OFFLINE forbids asking `host`; this machine itself may be asked.

    Raises:
        WebError: If downloads are forbidden and the host is another machine.
    """
    address = _literal(host)
    local = address is not None and ipaddress.ip_address(address).is_loopback
    if not local and not downloads_allowed():
        raise WebError(
            f"COURSE_OFFLINE forbids asking {host!r}: unset it, or {WITHOUT_NETWORK}."
        )


def private_address(host: str, address: str) -> str:
    """Return the sentence that refuses a private address."""
    return (
        f"The host {host!r} has a private address ({address}), of this machine or its "
        "own network; if that is meant, allow it with allow_private=True (on the "
        "command line: --allow-private)."
    )


def _literal(host: str) -> str | None:
    """Return the address that `host` spells out, in whatever notation, or None."""
    if host.rstrip(".").lower().endswith("localhost"):
        return "127.0.0.1"
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # also 2130706433 and 127.1
    except OSError:
        pass
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
