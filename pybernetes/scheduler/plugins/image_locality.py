"""ImageLocality: prefer nodes that have the pod's images, the more so the larger they are and the wider they are spread."""

from __future__ import annotations

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, SKIP, Reads, Scores, Skip
from pybernetes.scheduler.node_table import Nodes

# Below the first, fetching costs nothing worth a thought; above the second (per container), all are equally bad.
SIZE_LEAST = 23 * 2**20
SIZE_MOST = 1000 * 2**20


class ImageLocality:
    name = "ImageLocality"
    reads = Reads.ANYTHING  # how widely an image is spread is not in the node alone
    wakes_on = ()

    def pre_score(self, pod: Object) -> list[str]:
        spec = pod["spec"]
        images = [each.get("image") or "" for each in (*(spec.get("initContainers") or ()), *spec["containers"])]
        volumes = [volume["image"].get("reference") or "" for volume in spec.get("volumes") or () if volume.get("image")]
        return [_normalized(image) for image in (*images, *volumes)]

    def score(self, images: list[str], nodes: Nodes) -> Scores | Skip:
        present = [sizes for image in images if (sizes := nodes.image(image)) is not None]
        if not present:
            return SKIP
        total = np.zeros(len(nodes), dtype=np.int64)
        for sizes in present:
            # An image that few nodes have counts less, or all its pods would end up on them.
            total += (sizes * (np.count_nonzero(sizes) / nodes.total)).astype(np.int64)
        most = SIZE_MOST * len(images)
        return MOST_SCORE * (np.clip(total, SIZE_LEAST, most) - SIZE_LEAST) // (most - SIZE_LEAST)


def _normalized(image: str) -> str:
    """With `:latest`, as nodes tell it."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
