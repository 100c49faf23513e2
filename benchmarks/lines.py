"""The plain program that the `pando` command is measured against: squares of lines or arguments.

With arguments, as `xargs` starts it, the squares of these; without, of each line of standard input.
"""

from __future__ import annotations

import sys

from functions import square


def main() -> None:
    """Print one square a line."""
    for line in sys.argv[1:] or sys.stdin:
        print(square(int(line)))


if __name__ == "__main__":
    main()
