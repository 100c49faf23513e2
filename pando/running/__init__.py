"""One run, from the side of the program that it computes for.

`mapping` is `pando.map`, a synchronous facade over a `run` in a thread of its own; `inputs` reads
the items, and `server` lets volunteers join.
"""
