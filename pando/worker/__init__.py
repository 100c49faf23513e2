"""Worker processes from outside: what runs the function on this machine.

`pool` keeps a number of them alive, `process` is one of them, `environment` the Python that they
run in, and `function_file` the function, in memory that they share. What runs inside of one is
`pando.runtime`.
"""
