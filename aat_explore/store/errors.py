"""What can be wrong with a run; each message names the run, the file and the remedy."""

import errno

from aat_explore.errors import AATError

# Reasons of the machine, not of the file: nothing need be wrong with what cannot be read just now.
OF_THE_MACHINE = {
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.EMFILE: "this process has too many files open; close some, or raise `ulimit -n`",
    errno.ENFILE: "this machine has too many files open; close some",
    errno.ENOMEM: "the memory is full; close other programs",
    errno.EIO: "check the disk",
    errno.ESTALE: "check the network drive",
    errno.ETIMEDOUT: "check the network drive",
}


class RunNotFoundError(AATError):
    """There is no such run in this cache."""


class RunDamagedError(AATError):
    """A file of a run is missing or is not what HEAD says; the message names it."""


class RunBusyError(AATError):
    """Another process is training this run."""


class RunMovedOnError(AATError):
    """A trainer committed an epoch while the run was read; open it again."""


class RunUnreadableError(AATError):
    """A file of a run cannot be read for a reason of the machine: permissions, too many open files, a failing disk."""


def not_there(run_id: str, name: str, error: OSError) -> None:
    """Return if the error says that a file is not there; RunUnreadableError if it says why the machine cannot read."""
    if (remedy := OF_THE_MACHINE.get(error.errno or 0)) is not None:
        raise RunUnreadableError(f"run={run_id}: {name} cannot be read ({error.strerror}); {remedy}") from None
