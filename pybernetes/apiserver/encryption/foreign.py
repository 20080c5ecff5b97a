"""Values as a Go API server stores them: built-in types in protobuf. They are read as the JSON that would be stored here; that,
in turn, a Go API server reads as it is. So both may stand on one etcd, or one may follow the other.
"""

from __future__ import annotations

from typing import Final

PROTOBUF: Final = b"k8s\0"


def json_of(value: bytes) -> bytes:
    """Raises ValueError for what is no object of a known type."""
    from pybernetes.apiserver.registry.metadata import ordered
    from pybernetes.machinery import codec, protobuf
    from pybernetes.machinery.errors import BadRequest
    from pybernetes.machinery.meta import GroupVersionKind, parse_api_version
    from pybernetes.machinery.schema import schema_for

    try:
        obj = protobuf.decode(value, GroupVersionKind("", "", ""))
        schema_for(GroupVersionKind(*parse_api_version(obj["apiVersion"]), obj["kind"])).conform(obj)
        obj["metadata"] = ordered(obj["metadata"])
        return codec.encode(obj)
    except (BadRequest, KeyError) as error:
        raise ValueError(str(error)) from error
