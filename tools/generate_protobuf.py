"""Write `pybernetes/machinery/facts/protobuf.json` from `protobuf-fields.json` (message → field → number, type).

    python tools/generate_protobuf.py REFERENCE_DIRECTORY

Lists are left out (no client sends one, and the server writes them item by item) but for those of metadata alone. Types of the
same package are named relatively.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "pybernetes" / "machinery" / "facts" / "protobuf.json"


def main() -> None:
    messages = json.loads((Path(sys.argv[1]) / "protobuf-fields.json").read_bytes())
    facts = {
        name: " ".join(f"{number}:{field}:{type_}" for field, (number, type_) in fields.items())
        for name, fields in messages.items()
        if not {"items", "metadata"} <= fields.keys() or name.endswith(".PartialObjectMetadataList")
    }
    TARGET.write_text(json.dumps(facts, separators=(",", ":"), sort_keys=True) + "\n")
    print(f"{TARGET}: {len(facts)} messages, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
