"""Check and measure everything that needs an NVIDIA GPU, in nine minutes.

In: a machine, and optionally a pack of what it lacks. Out: one table, and a folder with its values
as JSON, a log and training states. Run it by `python scripts/gpu_check`.

    command     the command line
    steps       what is measured, in order of importance, and how long each step may take
    runner      runs each step in a process of its own, with a time limit
    rows        names of the rows of the table
    report      rows that the steps write, and the table made of them
    pack        what a machine without a network needs, as files of limited size
    frames      frames to measure with, and the cartoons of the CPU as the reference
    pytest_log  pytest plugin: the result of each test as soon as it ends
    parts/      the steps, one module each
"""
