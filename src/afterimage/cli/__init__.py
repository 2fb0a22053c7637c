"""The `afterimage` command: a module a command, each imported when it is called.

`main.py` has the group, `options.py` what commands have in common, `inputs.py` how they take several files and where
they write.
"""

from afterimage.cli.main import main

__all__ = ["main"]
