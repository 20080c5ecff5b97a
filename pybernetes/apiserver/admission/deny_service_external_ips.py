"""DenyServiceExternalIPs: nobody takes another address for a Service (CVE-2020-8554). Off by default."""

from __future__ import annotations

from pybernetes.apiserver.admission.interface import AdmissionPlugin, AdmissionRequest, Operation
from pybernetes.apiserver.admission.refusals import refusal
from pybernetes.machinery.resources import SERVICES


class DenyServiceExternalIPs(AdmissionPlugin):
    name = "DenyServiceExternalIPs"
    resources = (SERVICES,)

    async def validate(self, request: AdmissionRequest) -> None:
        """Addresses that the Service had it may keep, and give up."""
        if request.subresource or request.object is None or request.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        wanted = request.object["spec"].get("externalIPs") or ()
        old = request.old_object["spec"].get("externalIPs") or () if request.old_object is not None else ()
        if not set(wanted) <= set(old):
            raise refusal(request, "Use of external IPs is denied by admission control")
