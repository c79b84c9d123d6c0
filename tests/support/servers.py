"""Server processes that tests start, wait for, and stop."""

import subprocess
import urllib.request
from contextlib import contextmanager

from waiting import PATIENCE, wait_for


@contextmanager
def serving(command, sign_of_life, **options):
    """A server process that answers at `sign_of_life`, stopped at the end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) as server:
        try:
            wait_for(lambda: answers(sign_of_life))
            yield
        finally:
            server.terminate()
            try:
                server.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                server.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except OSError:
        return False
