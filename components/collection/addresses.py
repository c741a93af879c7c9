"""Which network addresses may be fetched from: public ones, and networks allowed by name."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Public by number, and yet of the cloud that a virtual machine runs in: Azure's wire server, and
# the protocol assignments where Oracle keeps its metadata.
CLOUDS = [ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24")]


class RefusedAddressError(OSError):
    """A connection to an address that is not public and not allowed."""


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet.

    Loopback, private, link-local (with the clouds' metadata services), shared, multicast and
    reserved ranges are not; addresses that carry another one inside are judged by that.
    """
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not special and not any(address in cloud for cloud in CLOUDS)


def checking_socket_factory(
    allowed_networks: Sequence[str],
) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Makes sockets for checked addresses only.

    aiohttp asks it for a socket with the very address that it connects to next, at every attempt
    and hop, so no name can resolve to one address for the check and to another for the connection.

    Args:
        allowed_networks: Networks that may be connected to though they are not public.
    """
    allowed = [ipaddress.ip_network(network) for network in allowed_networks]

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, target = info
        address = ipaddress.ip_address(target[0].partition("%")[0])
        if not is_public(address) and not any(address in network for network in allowed):
            raise RefusedAddressError(f"{address} is no public address")
        return socket.socket(family, kind, protocol)

    return make


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if any."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
