"""The commands of the command line, one module each.

Each has `HELP`, `add_arguments(parser)` and `run(options)`; `run` prints the result on stdout, raises a
`ScanweaveError` to refuse, and may return another exit code than 0. What a command needs beyond the standard library is
imported inside `run`.
"""
