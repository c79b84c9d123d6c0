"""Errors that a user can cause and fix; any other exception is a bug."""


class AATError(ValueError):
    """What the user asked for cannot be done; the message names the field, its value, the limit and the remedy.

    The command line prints it as one line and exits with code 2; the dashboard shows it as a message.
    """


def in_one_line(error: Exception) -> str | None:
    """Return the error and its remedy in one line if the user can fix it; None for a bug."""
    if isinstance(error, AATError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions"
    if type(error).__name__ == "OutOfMemoryError":  # torch's, compared by name because `aat list` has not loaded torch
        return "the device's memory is full; lower batch_size, or use --device cpu"
    return None


def cause_of(error: Exception) -> str:
    """Return the message of a library's exception in one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
