"""`python -m scanweave` is the command."""

from scanweave.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
