"""Cluster DNS: names of Services and pods, everything else forwarded.

    query ─▶ server (UDP, TCP; cache of encoded answers) ─▶ records (pure: the specification) ─▶ view (informers, indexed)
                                                         └▶ forward (the machine's resolvers) for names outside the cluster

Start with `records.py`: it is the specification as a function.
"""
