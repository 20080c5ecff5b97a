"""What the CNI plugin `portmap` leaves in the table `nat` of each family when the last pod with a host port is gone.

The table is the whole machine's, so only what is certainly the plugin's is taken out, and only when no other pod uses it;
a table that is empty then goes too.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

FAMILIES = ("ip", "ip6")
CHAIN_PREFIX = "CNI-HOSTPORT-"
_POD_CHAIN_PREFIX = "CNI-DN-"  # one for each pod with host ports
TIMEOUT_S = 10


def remove_chains() -> None:
    """Take the plugin's chains out, in both families; nothing happens where there are none."""
    for family in FAMILIES:
        listed = subprocess.run(
            ["nft", "--json", "--handle", "list", "table", family, "nat"],
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
        if listed.returncode == 0 and (transaction := removal(family, json.loads(listed.stdout)["nftables"])):
            subprocess.run(
                ["nft", "-f", "-"], input=transaction, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )


def removal(family: str, listing: list[dict[str, Any]]) -> str:
    """The nft transaction for a table as `nft --json` lists it; "" if there is nothing of the plugin's, or it is in use."""
    chains = [entry["chain"]["name"] for entry in listing if "chain" in entry]
    rules = [entry["rule"] for entry in listing if "rule" in entry]
    ours = [name for name in chains if name.startswith(CHAIN_PREFIX)]
    if any(name.startswith(_POD_CHAIN_PREFIX) for name in chains):
        return ""
    jumps = [rule for rule in rules if rule["chain"] not in ours and _jumps_to(rule, ours)]
    lines = [f"delete rule {family} nat {rule['chain']} handle {rule['handle']}" for rule in jumps]
    lines += [f"flush chain {family} nat {name}" for name in ours]
    lines += [f"delete chain {family} nat {name}" for name in ours]
    if len(jumps) == sum(rule["chain"] not in ours for rule in rules):
        lines.append(f"delete table {family} nat")
    return "".join(f"{line}\n" for line in lines)


def _jumps_to(rule: dict[str, Any], chains: list[str]) -> bool:
    return any(part.get("jump", {}).get("target") in chains for part in rule["expr"] if isinstance(part, dict))
