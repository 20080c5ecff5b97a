"""Regenerate the message module: `python -m pybernetes.apiserver.encryption.generate` (needs grpcio-tools)."""

from __future__ import annotations

from pathlib import Path

from pybernetes.store.etcd.generate import generate

if __name__ == "__main__":
    raise SystemExit(generate(Path(__file__).with_name("kms.proto")))
