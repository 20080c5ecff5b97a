"""A cluster in one process, on virtual time, repeatable from a seed: for tests of ours and of our users' operators.

    cluster        store, API server, scheduler, controllers and hollow nodes, joined by function calls: the way in
    hollow_node    a kubelet without containers: its pods start and end as if
    faults         connections that lose, delay and break; havoc: parts that die and nodes that fall silent
    disk, history  what is durable, and every change that ever was
    virtual_time   an event loop whose clock jumps to the next timer instead of waiting

`cluster.simulate(scenario, seed=…)` is where to start; docs/simulator.md shows how.
"""
