"""`python -m pando.server` is the `pando-server` command."""

import sys

from ..cli.server import main

if __name__ == "__main__":
    sys.exit(main())
