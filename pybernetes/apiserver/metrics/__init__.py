"""What the server counts about itself, and /metrics. Names, types and labels are upstream's.

Counting is plain arithmetic on the loop (`requests`, `store`; the gate, the auditor and the watches count for themselves);
families are made from a copy when somebody asks (`families`), and written in a thread (`page`).

Left out: what upstream measures of parts that are not here (its work queues, its watch cache, Go's runtime), and metrics that
it calls deprecated or alpha, where no dashboard asks for them.
"""
