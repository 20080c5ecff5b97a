"""Garbage collector: what is owned goes when its owners go (background, foreground), or is set free (orphan).

Contract: https://kubernetes.io/docs/concepts/architecture/garbage-collection/

`graph` keeps who owns whom, from the metadata of every resource that the server serves, and says which objects a change
puts in question. `decide` says what to do with one of them, given what the server says of it and of its owners right now.
`collector` joins the two. The graph may be late or wrong: nothing is deleted on its word alone.
"""

from pybernetes.controllers.garbage_collector.collector import controller

__all__ = ["controller"]
