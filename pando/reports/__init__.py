"""What devices report of themselves: counters, statistics of them, and the records of both.

The vocabulary of reports. What is made of them is in `pando.reporting`.
"""
