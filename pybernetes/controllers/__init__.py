"""The controller manager and its controllers: they bring the cluster to the state that its objects describe.

    app, options   the process: flags, connection, leader election, health
    manager        shared informers and work queues; joins deciding to doing. Start here
    controller     what a controller is: `Controller` (wakes, observe, decide) and what they share
    actions        what a decision may ask for; `perform` carries it out, `expectations` waits until the caches show it
    claims         who owns whom: adoption and release
    registry       all controllers, in order

Each other module is one controller: caches go in (`observe`), a snapshot goes into a pure function (`reconcile`), actions come
out. The garbage collector, which is no function of one key, has a loop of its own.
"""
