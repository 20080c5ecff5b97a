"""What `/version` says. Clients and conformance suites choose their behaviour by it, so it names a real release."""

from __future__ import annotations

import platform

from pybernetes.machinery.meta import Object

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # by Go's names
MAJOR, MINOR, PATCH = 1, 36, 0

INFO: Object = {
    "major": str(MAJOR),
    "minor": str(MINOR),
    "emulationMajor": str(MAJOR),
    "emulationMinor": str(MINOR),
    "minCompatibilityMajor": str(MAJOR),
    "minCompatibilityMinor": str(MINOR - 1),
    "gitVersion": f"v{MAJOR}.{MINOR}.{PATCH}",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": f"python{platform.python_version()}",
    "compiler": "cpython",
    "platform": f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
}
