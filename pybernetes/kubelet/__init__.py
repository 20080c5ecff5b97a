"""The node agent: pods bound to this node go in, containers that run, their statuses and logs come out.

`app` is the process, `kubelet` wires everything together; start reading there. One pod's way:

- `pod_workers` has a `pod_worker` per pod, which in turn observes (`observer`: the runtime's state as the plain values of
  `observed`), decides (`pod_actions`, pure), acts (`pod_start`, `containers`, `volumes/`, `images`, `cgroups`), and tells
  (`pod_status`, pure, written by `status_manager`).
- It is woken by the API (pods, and through `object_cache` the ConfigMaps and Secrets that they name), by the runtime (`pleg`),
  and by `probes/`.
- What goes to the runtime is made by pure functions too: `sandbox_config`, `container_config`, `environment`, `dns`.

The node: `node_manager` keeps the Node (`node_status`, pure) and its Lease, `bootstrap` gets the node its identity, `cni` sets
up the pod network. `server/` is what the kubelet serves: logs, exec, port-forward, statistics. `cri/` talks to the runtime.
"""
