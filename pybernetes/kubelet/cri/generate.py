"""Regenerate the message modules: `python -m pybernetes.kubelet.cri.generate` (needs grpcio-tools)."""

from __future__ import annotations

from pathlib import Path

PROTOS = ("runtime.proto", "containerd_events.proto")


def main() -> int:
    from grpc_tools import protoc  # type: ignore[import-untyped]

    here = Path(__file__).parent
    root = here.parents[2]
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{root}", f"-I{well_known}", f"--python_out={root}", f"--pyi_out={root}"]
    failed = int(protoc.main([*arguments, *(str(here / proto) for proto in PROTOS)]))
    for stub in here.glob("*_pb2.pyi"):
        stub.write_text(f"# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n{stub.read_text()}")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
