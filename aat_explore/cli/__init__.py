"""The command line, `aat`: exit codes and one-line errors.

    arguments.py   parses the command line
    commands/      the commands, one file per group: their flags and what they do
    flags.py       the base of all commands, and shared flags
    console.py     where commands print
    output.py      what commands print: tables, curves, JSON
    listing.py     the table of `aat list`
    progress.py    a bar on a terminal, lines elsewhere
    server.py      the dashboard's port and process

Bad input ends with exit code 2 and one line that says what to do; Ctrl-C with 130, losing at most the running epoch.
"""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aat_explore.errors import in_one_line

__all__ = ["main", "printable"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the `aat` script."""
    from aat_explore.cli.arguments import parse

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `aat train >&-`: the work is done all the same
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115, open until the end
    for stream in (sys.stdout, sys.stderr):  # ε and ‖∇‖ must not raise in an ASCII locale
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = parse(sys.argv[1:] if argv is None else list(argv)).run()
        sys.stdout.flush()  # write errors must surface here, not when Python exits
        return code
    except BrokenPipeError:  # the reader, as in `aat list | head`, has stopped reading
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (message := in_one_line(error)) is None:
            raise
        return _complain(message)
    except KeyboardInterrupt:
        print("aat: stopped; the same command resumes after the last finished epoch", file=sys.stderr)
        return 130


def printable(text: str) -> str:
    """Drop control and formatting characters: text from a cache must not control the terminal."""
    return "".join(filter(str.isprintable, text))


def _complain(message: str) -> int:
    print(f"aat: {printable(' '.join(message.split()))}", file=sys.stderr)
    return 2
