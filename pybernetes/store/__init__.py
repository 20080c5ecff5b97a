"""The revisioned key-value store: an ordered map from keys to bytes with one history, which only the API server touches.

- `interface`: the contract (`Store`, `Entry`, `Change`, the errors), enough to implement an engine from. Start here.
- `embedded`: the default engine, the whole state in memory over a durable log; `EmbeddedStore.open(SqliteLog(directory))`,
  or `EmbeddedStore.open(MemoryLog())` where nothing is to survive (simulator, unit tests).

Enters: keys and encoded objects. Leaves: entries, pages, changes in revision order. It knows nothing of what the bytes mean.
"""
