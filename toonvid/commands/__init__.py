"""The commands, one file each. They alone print; everything they do lives in the modules above."""
