"""Why results are not where they should be."""


class NotDelivered(Exception):
    """A destination does not have the results, or did not say so; the text goes to logs and names no identifier."""
