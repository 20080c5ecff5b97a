"""The scheduler: which node each pod goes to.

    informers ─▶ NodeTable (arrays, updated in place) ─┐
              └▶ queue (active, backing off, unschedulable, gated) ─▶ cycle (pure: pod, table -> verdict) ─▶ assume ─▶ bind

A plugin looks at all nodes in one vector operation; what it says of a pod's shape and a node holds until the node changes.
Start with `cycle.py` for the decision, `framework.py` for what a plugin may be, `plugins/` for what they are; `scheduler.py` is
the loop around them. What is read of a pod: `pod_shape.py` (what it takes), `pod_traits.py` (what others may ask of it).

Not here yet: preemption, and the plugins of volumes and dynamic resources (`config.ABSENT`).
"""
