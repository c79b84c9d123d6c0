"""Where commands print: a terminal, a file, or a pipe whose reader may leave before the work is done."""

import os

import rich.console


class Console(rich.console.Console):
    """Rich's console, but once nobody reads it any more, what is printed is dropped and the command goes on."""

    def on_broken_pipe(self) -> None:
        """Send what follows nowhere; rich would end the program here, and with it the training."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
