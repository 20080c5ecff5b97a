"""What an API server is called among several, in metrics and leases."""

from __future__ import annotations

import base64
import hashlib


def server_id(host_name: str) -> str:
    """The identity of an API server on a machine, as upstream makes it."""
    digest = hashlib.sha256(host_name.encode()).digest()[:16]
    return f"apiserver-{base64.b32encode(digest).decode().rstrip('=').lower()}"
