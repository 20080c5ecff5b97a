"""What every component uses to reach the API server.

`kubeconfig.connect` (or a `Transport` of your own) gives a `rest.Client`; an `informer.InformerFactory` keeps caches of what
the client lists and watches; a `workqueue.WorkQueue` turns their events into single-flight work; `events.EventRecorder` tells
users; `leader_election.LeaderElector` lets one of several act. Nothing here knows any component, and importing it is cheap:
TLS, YAML and discovery are imported where they are used.
"""
