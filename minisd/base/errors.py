"""Errors that the user can mend: the message names the value, what was expected, and what to do.

The command lines print these errors without a traceback. Any other error is a bug and shows one.
"""


class UserError(ValueError):
    """Bad input: a size, a prompt, a setting, a path."""


class CheckpointError(UserError):
    """A file or folder that is no complete Stable Diffusion v1.x checkpoint."""
