"""A cluster in one process, on virtual time, repeatable from a seed: for tests of ours and of our users' operators.

    virtual_time   an event loop whose clock jumps to the next timer instead of waiting
    hollow_node    a kubelet without containers: its pods start, run and end as if
    cluster        store, API server, scheduler, controllers and hollow nodes, joined by function calls

`cluster.simulate(scenario, seed=…)` is the way in.
"""
