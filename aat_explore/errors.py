"""The errors a user can cause and mend; everything else is a bug."""


class AATError(ValueError):
    """What the user asked for cannot be done; the message names the field, its value, the limit and the remedy.

    The command line prints it as one line and exits with code 2; the dashboard shows it as a message.
    """


def in_one_line(error: Exception) -> str | None:
    """What went wrong and what to do about it, in one line, if a user can cause and mend it; None for a bug."""
    if isinstance(error, AATError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}; check the path and its permissions"
    if type(error).__name__ == "OutOfMemoryError":  # torch's; `aat list` has no torch to compare with
        return "the device's memory is full; lower batch_size, or use --device cpu"
    return None


def cause_of(error: Exception) -> str:
    """What a library's exception says, in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
