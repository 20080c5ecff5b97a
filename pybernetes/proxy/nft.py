"""Apply transactions with `nft`, and forget UDP flows that lead nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

TIMEOUT_S = 60.0


class NftFailed(Exception):
    """nftables refused a transaction: nothing of it was applied."""


async def apply(transaction: str) -> None:
    """Apply all of it or nothing. Raises `NftFailed`."""
    try:
        process = await asyncio.create_subprocess_exec(
            "nft", "-f", "-",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NftFailed("`nft` is not installed. On Debian: apt-get install nftables") from error
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, errors = await process.communicate(transaction.encode())
    except TimeoutError as error:
        raise NftFailed(f"nft did not end within {TIMEOUT_S:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise NftFailed(errors.decode(errors="replace").strip()[:2000])


async def forget_udp_flows(stale: Iterable[tuple[str, int, str]]) -> None:
    """Delete conntrack entries: see `ruleset.stale_udp`. Netlink is loaded when it is first needed."""
    wanted = list(stale)
    if wanted:
        await asyncio.to_thread(_forget, wanted)


def _forget(stale: list[tuple[str, int, str]]) -> None:
    from socket import IPPROTO_UDP

    from pyroute2 import Conntrack
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

    by_frontend: dict[tuple[str, int], set[str]] = {}
    for address, port, endpoint in stale:
        by_frontend.setdefault((address, port), set()).add(endpoint)
    with Conntrack() as table:
        for entry in table.dump_entries(tuple_orig=NFCTAttrTuple(proto=IPPROTO_UDP)):
            origin, reply = entry.tuple_orig, entry.tuple_reply
            endpoints = by_frontend.get((origin.daddr, origin.dport)) or by_frontend.get(("", origin.dport))
            # A flow that was never translated is answered by its own destination.
            sent_to = "" if reply.saddr == origin.daddr else reply.saddr
            if endpoints is not None and sent_to in endpoints:
                try:
                    table.entry("del", tuple_orig=origin)
                except NetlinkError:
                    continue  # it ended by itself
