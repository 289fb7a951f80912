"""What goes wrong, said in the user's words, and the code that a command exits with."""


class UserError(Exception):
    """A mistake that its maker can mend: the message is the whole story.

    The command line prints it as one line and exits with 2; only ``--debug`` shows the traceback. The message names
    where (table, column, row, or dotted params key), what was found, what is allowed, and what to do.
    """

    exit_code = 2


class DiskFullError(UserError):
    """There is no room where a command writes."""


class RunFailedError(UserError):
    """A night that cannot go on although nobody wrote anything wrong: a source is stale or gone, the disk is full."""

    exit_code = 1


class BusyError(UserError):
    """Another run is at work."""

    exit_code = 75
