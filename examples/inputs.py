"""Items for the examples: python examples/inputs.py square 9 | pando examples/square.py --stdin

Names an example and says how many items to print; without a number they never end.
"""

import itertools
import sys

GENERATORS = {
    "square": lambda: itertools.count(1),
    "error": lambda: itertools.count(1),
    "collatz": lambda: (10**30 + n for n in itertools.count()),
}


def main(name="", count=None):
    if name not in GENERATORS:
        sys.exit(f"which example? One of: {', '.join(GENERATORS)}")
    items = itertools.islice(GENERATORS[name](), None if count is None else int(count))
    try:
        for item in items:
            print(item)
    except BrokenPipeError:
        sys.stderr.close()  # whoever was reading has gone


if __name__ == "__main__":
    main(*sys.argv[1:3])
