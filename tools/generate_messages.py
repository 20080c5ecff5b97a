"""Make the message modules (`…_pb2.py` and their stubs) of every `.proto` of the package: `python tools/generate_messages.py`.

It needs grpcio-tools, which is among what `tools/setup dev` installs.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    from grpc_tools import protoc  # type: ignore[import-untyped]

    protos = sorted((ROOT / "pybernetes").rglob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{ROOT}", f"-I{well_known}", f"--python_out={ROOT}", f"--pyi_out={ROOT}", *map(str, protos)]
    failed = int(protoc.main(arguments))
    for proto in protos:
        stub = proto.with_name(f"{proto.stem}_pb2.pyi")
        stub.write_text(f"# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n{stub.read_text()}")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
