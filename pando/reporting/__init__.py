"""Reporting: what each device contributes, from its own counters to what people see of it.

Plain state machines without I/O and without a clock: times are passed in, in seconds.
"""
