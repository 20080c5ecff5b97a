"""AlwaysAdmit and AlwaysDeny: for tests of clusters. Both are deprecated, and off by default."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest
from pybernetes.apiserver.admission.refusals import refusal


class AlwaysAdmit(AdmissionPlugin):
    name = "AlwaysAdmit"


class AlwaysDeny(AdmissionPlugin):
    name = "AlwaysDeny"

    async def admit(self, request: AdmissionRequest) -> None:
        raise refusal(request, "admission control is denying all modifications")

    async def validate(self, request: AdmissionRequest) -> None:
        raise refusal(request, "admission control is denying all modifications")
