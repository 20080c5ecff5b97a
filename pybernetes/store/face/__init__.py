"""The etcd v3 face: an embedded store served as an etcd of one member, to etcdctl and to other API servers.

- `service`: etcd's methods over the store: requests in, responses out. Start here.
- `kv`: what ranges, writes and transactions mean. `watching`: streams of watches. `ranges`: keys in bytes and in text.
- `errors`: refusals with etcd's codes and sentences.
- `server`: gRPC and TLS.

Left out, and answered as unimplemented: users and roles of etcd's own (clients are known by their certificates), members
(there is one), lease checkpoints, downgrades. Keys that are not UTF-8 text are refused. History is memory's: after a restart a
watch from before it is compacted.
"""
