"""The one exception that is the user's to mend."""


class UserError(ValueError):
    """A mistake in what the user gave: one line that names what is wrong and what would be right.

    The command line prints it without a traceback and exits with code 2.
    """
