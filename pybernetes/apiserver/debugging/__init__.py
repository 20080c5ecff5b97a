"""What operators look into a running server with, below /debug/ and /logs/: all of it takes the right to the path.

`pages` is the table of paths. `sampler` takes profiles of the process, `pprof` writes them so that `go tool pprof` reads them,
`dumps` shows tasks, threads and memory, `files` the logs of the machine.
"""
