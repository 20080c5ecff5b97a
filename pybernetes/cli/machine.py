"""This machine: its name and address, and the kernel settings that a node needs."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from pybernetes.cli.failure import Failure
from pybernetes.machinery import pki

# A node routes for its pods, and Services must see packets between two pods of one bridge.
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
}
_SYS = Path("/proc/sys")


def node_name() -> str:
    """The host name, as a DNS-1123 subdomain."""
    return socket.gethostname().lower().replace("_", "-")


def node_ip() -> str:
    """The address that this machine uses towards others (no packet is sent to find out)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.7", 9))  # nobody's address (RFC 5737): the kernel picks the route
        except OSError as error:
            raise Failure(
                "This machine has no network address that pods could reach: bring an interface up, or name an address "
                "with --node-ip."
            ) from error
        address: str = probe.getsockname()[0]
    return address


def set_sysctls(former_values: Path) -> None:
    """Set what a node needs, and write down what was there before."""
    former = {name: (_SYS / name).read_text().strip() for name in SYSCTLS}
    if not former_values.exists():
        pki.write_public(former_values, json.dumps(former).encode())
    for name, value in SYSCTLS.items():
        if former[name] != value:
            (_SYS / name).write_text(value)


def restore_sysctls(former_values: Path) -> None:
    """Put back what `set_sysctls` found."""
    try:
        former = json.loads(former_values.read_bytes())
    except FileNotFoundError:
        return
    for name in SYSCTLS:
        if name in former:
            (_SYS / name).write_text(former[name])
    former_values.unlink()
