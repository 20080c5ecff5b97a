"""What an idle cluster costs: memory (proportional set size) and CPU of each process, over SECONDS without a pod.

`python tests/bench/cluster_idle.py [SECONDS]`
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from cluster_scratch import scratch

SECONDS = 60.0
SETTLE_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Of the process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[number]) for number in (11, 12, 13, 14)) / TICKS_PER_S


def pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with scratch() as cluster:
        cluster.pyb("up")
        time.sleep(SETTLE_S)
        processes = cluster.processes()
        before, began = {name: cpu_s(pid) for name, pid in processes.items()}, time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        print(f"{'':20} {'PSS MiB':>8} {'CPU % of a core':>16}")
        memory_sum = cpu_sum = 0.0
        for name, pid in processes.items():
            memory, cpu = pss_mib(pid), (cpu_s(pid) - before[name]) / took * 100
            print(f"{name:20} {memory:8.1f} {cpu:16.2f}")
            if name != "containerd":
                memory_sum += memory
                cpu_sum += cpu
        print(f"{'all but containerd':20} {memory_sum:8.1f} {cpu_sum:16.2f}")


if __name__ == "__main__":
    main()
