"""The scheduler: which node each pod goes to.

    informers ─▶ NodeTable (arrays, updated in place) ─┐
              └▶ queue (active, backing off, unschedulable) ─▶ cycle (pure: pod, table -> verdict) ─▶ assume ─▶ bind

A plugin looks at all nodes in one vector operation. Start with `cycle.py` for the decision, `framework.py` for what a plugin
may be, `plugins/` for what they are; `scheduler.py` is the loop around them.
"""
