"""How a plugin says no."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionRequest
from pybernetes.machinery import errors
from pybernetes.machinery.errors import Forbidden


def name_shown(request: AdmissionRequest) -> str:
    """The object's name in messages; where none is chosen yet, what it will start with."""
    if request.name:
        return request.name
    metadata = (request.object or {}).get("metadata") or {}
    return metadata.get("name") or metadata.get("generateName") or "Unknown"


def refusal(request: AdmissionRequest, why: str) -> Forbidden:
    """`pods "x" is forbidden: <why>`"""
    return errors.forbidden(request.resource.group, request.resource.plural, name_shown(request), why)
