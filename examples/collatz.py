"""How many steps it takes a number to get to 1, when even ones are halved and odd ones are
tripled and one more: pando examples/collatz.py 27 12345678901234567890
"""


def pando(n):
    if n < 1:
        raise ValueError(f"{n} never gets to 1")
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps
