"""Regenerate the message module: `python -m pybernetes.store.etcd.generate` (needs grpcio-tools)."""

from __future__ import annotations

from pathlib import Path


def generate(proto: Path) -> int:
    """Make `<name>_pb2.py` and its stub beside a file of this package; 0 if that went well."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    root = Path(__file__).parents[3]
    failed = int(protoc.main(["protoc", f"-I{root}", f"--python_out={root}", f"--pyi_out={root}", str(proto)]))
    stub = proto.with_name(f"{proto.stem}_pb2.pyi")
    stub.write_text(f"# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n{stub.read_text()}")
    return failed


if __name__ == "__main__":
    raise SystemExit(generate(Path(__file__).with_name("rpc.proto")))
