"""The embedded engine: the whole state in memory, a durable log beneath.

- `engine`: `EmbeddedStore`, where a write is decided, queued, committed and shown. Start here.
- `draft`: a transaction of several writes while it is composed. `leases`: who expires when.
- `log`: the seam to the disk (`Log`, `Batch`, `State`) and `MemoryLog`; `sqlite_log`: the log on disk; `tables`: what is in it.
- `restoring`: a store made of a snapshot (`store.snapshot`). Not imported here: it loads protobuf.

What it answers from is `store.memory`, which other engines share.
"""

from pybernetes.store.embedded.engine import EmbeddedStore
from pybernetes.store.embedded.log import Batch, Log, MemoryLog, State
from pybernetes.store.embedded.sqlite_log import InUse, SqliteLog
from pybernetes.store.memory import HistoryLimits

__all__ = ["Batch", "EmbeddedStore", "HistoryLimits", "InUse", "Log", "MemoryLog", "SqliteLog", "State"]
