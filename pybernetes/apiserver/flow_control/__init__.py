"""API Priority and Fairness (KEP-1040): who is served when there is more to do than can be done.

`configuration` reads FlowSchemas and PriorityLevelConfigurations into plain values, `rules` says which requests a schema means,
`classification` remembers that per user and target. `allocation` divides the seats among the levels, `fair_queues` holds what
waits in one level. `gate` is the door that each request passes; `controller` keeps it to what is stored, writes the Dangling
conditions and the default objects. `in_flight` is the door of `--enable-priority-and-fairness=false`. Start at `gate`.
"""
