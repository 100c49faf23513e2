"""One item in ten fails: pando examples/error.py --on-error skip 1 2 3 4 5 6 7 8 9 10"""


def pando(x):
    if x % 10 == 0:
        raise ValueError(f"{x} is a multiple of ten")
    return 1 / x
