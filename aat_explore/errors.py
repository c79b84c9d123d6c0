"""The errors a user can cause and mend; everything else is a bug."""


class AATError(ValueError):
    """What the user asked for cannot be done; the message names the field, its value, the limit and the remedy.

    The command line prints it as one line and exits with code 2; the dashboard shows it as a message.
    """


def cause_of(error: Exception) -> str:
    """What a library's exception says, in one line; its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
