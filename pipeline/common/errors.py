"""What goes wrong by a user's hand, said in the user's words."""


class UserError(Exception):
    """A mistake that its maker can mend: the message is the whole story.

    The command line prints it as one line and exits with 2; only ``--debug`` shows the traceback. The message names
    where (table, column, row, or dotted params key), what was found, what is allowed, and what to do.
    """
