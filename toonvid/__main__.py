"""Runs the command line as `python -m toonvid`."""

from toonvid.cli import main

main()
