"""A score that cannot be given here: the reason is told in its place."""


class Unavailable(Exception):
    """str(error) is the reason, as a phrase for the reader."""
