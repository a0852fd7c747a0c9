"""``python -m node`` is ``opacity-node``."""

from node.program import main

if __name__ == "__main__":
    main()
