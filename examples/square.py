"""The square of a number: pando examples/square.py 1 2 3 4 5 6 7 8 9 10"""


def pando(x):
    return x * x
