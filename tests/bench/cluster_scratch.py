"""A cluster in a scratch directory, for the benches beside this file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PYB = Path(sys.executable).with_name("pyb")


@dataclass(frozen=True)
class Scratch:
    directory: Path

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "data" / "admin.kubeconfig"

    def log(self, component: str) -> Path:
        return self.directory / "logs" / f"{component}.log"

    def processes(self) -> dict[str, int]:
        """Process ids by component, the supervisor included."""
        state = json.loads((self.directory / "run" / "state.json").read_text())
        return {"supervisor": state["supervisor"][0], **{each["name"]: each["process"][0] for each in state["components"]}}

    def pyb(self, verb: str, *words: str) -> str:
        places = [
            f"--{name}-dir={self.directory / folder}" for name, folder in (("data", "data"), ("run", "run"), ("log", "logs"))
        ]
        return subprocess.run([PYB, verb, *places, *words], capture_output=True, text=True, timeout=150, check=True).stdout


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Nothing runs yet; whatever does at the end is taken down."""
    directory = Path(tempfile.mkdtemp(prefix="pyb-bench-"))
    made = Scratch(directory)
    try:
        yield made
    finally:
        made.pyb("down", "--purge")
        shutil.rmtree(directory, ignore_errors=True)
