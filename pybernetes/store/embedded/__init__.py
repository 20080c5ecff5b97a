"""The embedded engine: the whole state in memory, a durable log beneath.

- `engine`: `EmbeddedStore`, where a write is decided, queued, committed and shown. Start here.
- `image`: what is current, ordered (over `ordered`, the sorted keys); `history`: what recently changed, for watches and for
  reading the past; `watches`: waking those who wait for a change; `leases`: who expires when. Plain bookkeeping: no I/O, no
  clock, no tasks.
- `log`: the seam to the disk (`Log`, `Batch`, `State`) and `MemoryLog`; `sqlite_log`: the log on disk; `snapshot`: copies of
  the store, and stores from copies.
"""

from pybernetes.store.embedded.engine import EmbeddedStore
from pybernetes.store.embedded.history import HistoryLimits
from pybernetes.store.embedded.log import Batch, Log, MemoryLog, State
from pybernetes.store.embedded.snapshot import restore
from pybernetes.store.embedded.sqlite_log import InUse, SqliteLog

__all__ = ["Batch", "EmbeddedStore", "HistoryLimits", "InUse", "Log", "MemoryLog", "SqliteLog", "State", "restore"]
