"""Runs, on the side of the program that needs results.

`mapping` is `pando.map`, a synchronous facade over a `run` in a background thread. `opening` opens
runs, `inputs` reads items, `streams` yields results, and `server` lets volunteers join.
"""
