"""Quantities inside objects: stored and shown in canonical form (`1000m` -> `1`, `1024Mi` -> `1Gi`)."""

from __future__ import annotations

from pybernetes.machinery.meta import Object
from pybernetes.machinery.quantity import canonical_resource, parse


def canonical(text: str | int | float) -> str:
    """Text that is no quantity comes back as it is: decoding has refused it before."""
    try:
        return parse(text).canonical()
    except ValueError:
        return str(text)


def canonicalize(resource_list: Object) -> None:
    """A `ResourceList`, in place: amounts finer than thousandths are rounded up, too."""
    for name, value in resource_list.items():
        try:
            resource_list[name] = canonical_resource(value)
        except ValueError:
            resource_list[name] = str(value)
