"""API Priority and Fairness (KEP-1040): who is served when there is more to do than can be done.

Pure: `configuration` reads FlowSchemas and PriorityLevelConfigurations into plain values, `rules` says which requests a schema
means, `work` how many seats a request takes, `allocation` how the seats are divided among the levels. At work: `classification`
remembers who is which of the `flows`, `levels` know what runs in them, `fair_queues` hold what waits in one level. `gate` is
the door (`interface`) that each request passes, `in_flight` that of `--enable-priority-and-fairness=false`; `doors` chooses.
`controller` keeps the gate to what is stored, and writes the Dangling conditions and the default objects. `metrics` and `dumps`
show what the gate has counted and holds. Start at `gate`.
"""
