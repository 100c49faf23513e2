"""Functions that tabs compute, in a module that needs nothing else."""


def square(x: int) -> int:
    return x * x


def negate(x: int) -> int:
    return -x
