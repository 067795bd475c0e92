"""The commands: arguments of the command line in, printed lines and exit codes out.

Each command is one function in a file of its own name, and `toonvid.cli` registers it. A command
turns arguments into option values, calls the package that does the work, and prints the result.
Nothing outside this folder and `toonvid.cli` prints. Errors are left to `toonvid.cli`.

- `convert`, `demo`, `live`: cartoons from videos, images and cameras.
- `styles`: list, show, verify, try and add styles.
- `prepare`, `train`, `export`, `evaluate`: training. They import `trainer` when they are called.
- `bench`, `doctor`, `build`: speed, abilities and TensorRT plans of this machine.
- `options`: options that several commands share. `arguments`: parsing of times and sizes.
- `help`: layout of the help pages. `messages`: consoles, counts and durations as text.
- `conversion_report`: what `convert` prints; `conversion_notes`: what it prints while it runs;
  `conversion_status`: what `--status` prints. `bench_tables`: what `bench` prints.
- `progress`: progress bars. `interrupt`: what SIGINT and SIGTERM do while a command runs.
- `trainer_package`: checks that `trainer` can be imported, and prints its log.
"""
