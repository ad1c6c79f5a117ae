"""`python -m composability`, the same as the command `composability`."""

import sys

from composability.command import main

if __name__ == "__main__":
    sys.exit(main())
