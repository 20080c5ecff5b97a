"""The kubectl-compatible client: what a user types, and the text that comes back, are upstream's.

`main.main(argv)` is the program. `verbs.VERBS` lists the verbs; each is a file with a `COMMAND` (its flags and `run`), which
is imported only when it is called. A verb is given a `Session` (the API client, the namespace, the terminal) and its parsed
flags. Shared between them: `mapper` (names of resources), `selection` (what the arguments select), `manifests` (files),
`tables`, `output`, `jsonpath` (what is printed) and `failure` (how it fails).
"""
