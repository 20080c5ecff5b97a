"""Put the published API definitions where the API server finds their descriptions, without the rest of a large package.

    .venv/bin/python tools/fetch_descriptions.py

Installed whole, `kubernetes-validate` has 17,000 files for all releases; of these one is wanted.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from pybernetes.apiserver.openapi_descriptions import FILE, PACKAGE, source

REQUIREMENT = "kubernetes-validate>=1.36,<2"


def main() -> None:
    if source() is not None:
        return
    with tempfile.TemporaryDirectory() as directory:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
        subprocess.run((*pip, "--dest", directory, REQUIREMENT), check=True)
        [wheel] = Path(directory).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"{PACKAGE}/{FILE}")
    path = Path(sysconfig.get_path("purelib")) / PACKAGE / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main()
