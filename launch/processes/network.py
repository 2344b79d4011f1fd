"""Addresses and interfaces of this host that other hosts can reach.

gloo uses the address that the host's name resolves to. On most Linux hosts that is the loopback, so that across hosts
gloo must be given an address.
"""

import os
import socket

import psutil


def own_address(towards: str) -> str:
    """This host's address on the way to another; no packet is sent."""
    family, _, _, _, remote = socket.getaddrinfo(towards, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        return str(probe.getsockname()[0])


def interface(address: str) -> str | None:
    """The interface with an address of this host."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address.partition("%")[0] == address for entry in addresses):
            return name
    return None


def loopback() -> socket.socket:
    """A socket that listens on this host's loopback, at a free port. Raises OSError where there is no loopback."""
    try:
        return _listening(socket.AF_INET, "127.0.0.1")
    except OSError:
        return _listening(socket.AF_INET6, "::1")


def _listening(family: int, address: str) -> socket.socket:
    listener = socket.socket(family)
    try:
        listener.bind((address, 0))
        listener.listen(socket.SOMAXCONN)
    except OSError:
        listener.close()
        raise
    return listener


def within_this_host() -> dict[str, str]:
    """Variables that have gloo and NCCL listen on the loopback, whatever this host's name resolves to."""
    name = interface("127.0.0.1") or interface("::1")
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}"} if name else {}


def stay_within_this_host() -> None:
    """Have gloo and NCCL of this process listen on the loopback, unless their variables are set already."""
    for name, value in within_this_host().items():
        os.environ.setdefault(name, value)


def tell_gloo(address: str) -> None:
    """Have gloo use the interface that has ``address``, unless its variable is set already."""
    if name := interface(address):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
