"""The revisioned key-value store: an ordered map from keys to bytes with one history, which only the API server touches.

- `interface`: the contract (`Store`, `Entry`, `Change`, the errors), enough to implement an engine from. Start here.
- `embedded`: the default engine, the whole state in memory over a durable log; `EmbeddedStore.open(SqliteLog(directory))`,
  or `EmbeddedStore.open(MemoryLog())` where nothing is to survive (simulator, unit tests).
- `etcd`: the store in an etcd, for several API servers side by side; `EtcdStore.open(Servers(urls), KeySpace())`.
- `memory`: what engines hold in memory and answer from.
- `face`: an embedded store served as an etcd, to etcdctl and to other API servers (`pyb etcd`).
- `snapshot`: copies in files, in the format of etcd's snapshots (over `bolt`); `embedded.restoring` makes stores of them.

Enters: keys and encoded objects. Leaves: entries, pages, changes in revision order. It knows nothing of what the bytes mean.
"""
