"""What an engine holds in memory, and answers from: plain bookkeeping, no I/O, no clock, no tasks.

- `memory`: `Memory`, which joins the parts: an engine feeds it with changes in revision order, and reads from it. Start here.
- `image`: what is current, ordered (over `ordered`, the sorted keys).
- `history`: what recently changed, for watches and for reading the past.
- `watches`: cursors into the history, and waking those who wait for a change.
"""

from pybernetes.store.memory.history import HistoryLimits
from pybernetes.store.memory.memory import Memory

__all__ = ["HistoryLimits", "Memory"]
