"""`python -m toonvid`."""

from toonvid.cli import main

main()
