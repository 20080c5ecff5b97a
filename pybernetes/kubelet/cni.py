"""The pod network of one node: a bridge, addresses from the node's podCIDR, and masquerading for what leaves the cluster.

The bridge plugin could masquerade by itself, with iptables; nftables does it here, in a table of our own, so that the machine
needs no iptables and `pyb down` finds what to remove.

Source: CNI specification 1.0; bridge, host-local and portmap plugins.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

from pybernetes.machinery.log import logger

log = logger("kubelet.cni")

FILE_NAME = "10-pybernetes.conflist"
NETWORK = "pybernetes"
BRIDGE = "cni0"
TABLE = "pybernetes-cni"
NFT_TIMEOUT_S = 10


def conflist(pod_cidrs: Sequence[str], leases_dir: Path) -> str:
    """The network configuration list for a node with these pod CIDRs (one per address family)."""
    ranges = [[{"subnet": cidr}] for cidr in pod_cidrs]
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": True,  # with the default route: one from ipam would clash with it
        "forceAddress": False,
        "ipMasq": False,
        "hairpinMode": True,
        # In a directory of the node's own: others on this machine may lease addresses from the same range.
        "ipam": {"type": "host-local", "ranges": ranges, "dataDir": str(leases_dir)},
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return json.dumps({"cniVersion": "1.0.0", "name": NETWORK, "plugins": plugins}, indent=2) + "\n"


def masquerade_rules(pod_cidrs: Sequence[str], cluster_cidrs: Sequence[str] = ()) -> str:
    """An nft script, to be applied as a whole: traffic of pods that leaves the cluster gets the node's address."""
    script = []
    for cidr in pod_cidrs:
        version = ip_network(cidr).version
        family = "ip6" if version == 6 else "ip"
        inside = [cidr, *(other for other in cluster_cidrs if ip_network(other).version == version)]
        kept = ", ".join(_collapsed(inside))
        multicast = "ff00::/8" if version == 6 else "224.0.0.0/4"
        script.append(f"""\
add table {family} {TABLE}
delete table {family} {TABLE}
table {family} {TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    {family} saddr {cidr} {family} daddr != {{ {kept}, {multicast} }} masquerade
  }}
}}
""")
    return "".join(script)


def _collapsed(cidrs: Sequence[str]) -> list[str]:
    from ipaddress import IPv4Network, IPv6Network, collapse_addresses

    networks = [ip_network(cidr) for cidr in cidrs]
    v4 = [network for network in networks if isinstance(network, IPv4Network)]
    v6 = [network for network in networks if isinstance(network, IPv6Network)]
    return [str(network) for network in (*collapse_addresses(v4), *collapse_addresses(v6))]


async def set_up(conf_dir: Path, leases_dir: Path, pod_cidrs: Sequence[str], cluster_cidrs: Sequence[str] = ()) -> None:
    """Write the configuration (the runtime notices) and the masquerading. Raises OSError with nft's complaint."""
    await _apply(masquerade_rules(pod_cidrs, cluster_cidrs))
    _write(conf_dir / FILE_NAME, conflist(pod_cidrs, leases_dir))
    log.info("Pod network is set up", cidrs=",".join(pod_cidrs), config=str(conf_dir / FILE_NAME))


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Runtimes read every *.conflist, and must never see half of one: hence another ending, then a rename.
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    os.rename(temporary, path)


async def _apply(script: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "nft", "-f", "-", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(NFT_TIMEOUT_S):
            _, complaint = await process.communicate(script.encode())
    except BaseException:
        if process.returncode is None:
            process.kill()
        raise
    if process.returncode != 0:
        raise OSError(f"nft: {complaint.decode(errors='replace').strip()}")
