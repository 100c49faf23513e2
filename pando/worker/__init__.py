"""Worker processes from outside: what runs the function on this machine.

`pool` keeps a number of them alive, `process` is one of them, and `environment` the Python that
they run in. What runs inside of one is `pando.runtime`.
"""
