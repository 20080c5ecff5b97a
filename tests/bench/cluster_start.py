"""Time of a cold `pyb up` (nothing on disk) to a Ready node, and where it goes: `python tests/bench/cluster_start.py [RUNS]`.

Each line of the table is a moment, in seconds after the command was given: the median of the runs, the fastest and the slowest.
The moments come from the command's output and from the components' logs.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from datetime import datetime

from cluster_scratch import Scratch, scratch

RUNS = 5
# What a log says at a moment that is worth knowing.
MOMENTS = (
    ("supervisor", "Started component", "supervisor forks the first component"),
    ("containerd", "successfully booted", "containerd serves"),
    ("apiserver", "Serving", "API server listens"),
    ("kubelet", "Bootstrapped the node's identity", "kubelet has its certificate"),
    ("kubelet", "Registered the node", "node registered"),
    ("kubelet", "Pod network is set up", "pod network set up"),
    ("kubelet", "Kubelet runs", "kubelet runs"),
)


def one(cluster: Scratch) -> dict[str, float]:
    cluster.pyb("down", "--purge")
    began_at, began = time.time(), time.monotonic()
    printed = cluster.pyb("up")
    took = time.monotonic() - began
    seen = {}
    for component, text, name in MOMENTS:
        when = logged(cluster, component, text)
        if when is not None:
            seen[name] = when - began_at
    waited = float(re.search(r"after ([\d.]+) s\.", printed)[1])  # type: ignore[index]
    for line in printed.splitlines():
        if found := re.fullmatch(r"  (.*?) +([\d.]+) s", line):
            # Counted from when the supervisor had started; the whole is printed with one digit.
            seen[found[1]] = float(found[2])
    seen["up says ready (its own count)"] = waited
    seen["command ended"] = took
    return seen


def logged(cluster: Scratch, component: str, text: str) -> float | None:
    """When the log first said so, as seconds since the epoch."""
    for line in cluster.log(component).read_text(errors="replace").splitlines():
        if text in line and (found := re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line)):
            return datetime.fromisoformat(found[0][:26].rstrip("Z") + "+00:00").timestamp()
    return None


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with scratch() as cluster:
        cluster.pyb("up")  # imports compiled, caches of the machine warm
        results = [one(cluster) for _ in range(runs)]
    names = sorted({name for result in results for name in result}, key=lambda name: statistics.median(
        [result[name] for result in results if name in result]))  # fmt: skip
    print(f"{'':40} {'median':>7} {'min':>7} {'max':>7}")
    for name in names:
        values = [result[name] for result in results if name in result]
        print(f"{name:40} {statistics.median(values):7.2f} {min(values):7.2f} {max(values):7.2f}")


if __name__ == "__main__":
    main()
