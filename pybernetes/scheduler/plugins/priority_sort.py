"""PrioritySort: higher priority first, and among equals who waits longer."""

from __future__ import annotations

from pybernetes.scheduler.framework import QueuedPod, Reads


class PrioritySort:
    name = "PrioritySort"
    reads = Reads.SHAPE_AND_NODE
    wakes_on = ()

    def sort_key(self, queued: QueuedPod) -> tuple[int, float]:
        """Smaller is earlier."""
        return -(queued.pod["spec"].get("priority") or 0), queued.queued_s
