"""Worker processes: what runs the function on this machine.

`pool` keeps a number of them alive and `process` is one, both under Trio; `child` is what runs
inside a worker, without Trio. There `computing` has the function, or `javascript`, which runs one
inside `v8`. They speak in frames (`framing`) over a socket pair, and share a few bytes of memory
(`progress`) that tell which item is running, even after a crash.
"""
