"""ImageLocality: prefer nodes that have the pod's images, the more so the larger they are and the wider they are spread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pybernetes.machinery.meta import Object
from pybernetes.scheduler.framework import MOST_SCORE, Mask, Scores
from pybernetes.scheduler.node_table import NodeTable

# Below the first, fetching costs nothing worth a thought; above the second (per container), all are equally bad.
SIZE_LEAST = 23 * 2**20
SIZE_MOST = 1000 * 2**20


class ImageLocality:
    name = "ImageLocality"
    depends_on_pods = False
    wakes_on = ()

    def pre_score(self, pod: Object) -> list[str]:
        spec = pod["spec"]
        return [_normalized(each.get("image", "")) for each in (*spec.get("initContainers", ()), *spec["containers"])]

    def score(self, images: list[str], nodes: NodeTable) -> Scores:
        sizes: dict[str, dict[int, int]] = {image: {} for image in images}  # image -> row -> bytes
        for row, node in enumerate(nodes.nodes):
            for name, size in _images(node):
                if name in sizes:
                    sizes[name][row] = size
        total = np.zeros(len(nodes), dtype=np.int64)
        for image in images:
            # An image that few nodes have counts less, or all its pods would end up on them.
            spread = len(sizes[image]) / max(len(nodes), 1)
            for row, size in sizes[image].items():
                total[row] += int(size * spread)
        most = SIZE_MOST * max(len(images), 1)
        bounded = np.clip(total, SIZE_LEAST, most)
        return MOST_SCORE * (bounded - SIZE_LEAST) // (most - SIZE_LEAST)

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return scores


def _images(node: Object) -> Iterator[tuple[str, int]]:
    for image in (node.get("status") or {}).get("images") or ():
        for name in image.get("names") or ():
            yield name, image.get("sizeBytes", 0)


def _normalized(image: str) -> str:
    """With `:latest`, as nodes tell it."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
