"""Errors that are the user's to mend: the message names the value, what was expected and the way out.

The command lines print these without a traceback; anything else is a bug and shows one.
"""


class UserError(ValueError):
    """Bad input: a size, a prompt, a setting, a path."""


class CheckpointError(UserError):
    """A file or folder that is not (or not completely) a Stable Diffusion v1.x checkpoint."""
