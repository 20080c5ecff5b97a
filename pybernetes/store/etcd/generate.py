"""Regenerate the message module: `python -m pybernetes.store.etcd.generate` (needs grpcio-tools)."""

from __future__ import annotations

from pathlib import Path


def main() -> int:
    from grpc_tools import protoc  # type: ignore[import-untyped]

    here = Path(__file__).parent
    root = here.parents[2]
    arguments = ["protoc", f"-I{root}", f"--python_out={root}", f"--pyi_out={root}", str(here / "rpc.proto")]
    failed = int(protoc.main(arguments))
    stub = here / "rpc_pb2.pyi"
    stub.write_text(f"# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n{stub.read_text()}")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
