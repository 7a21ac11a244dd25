"""The sections of the page: each file turns figures into HTML, or into "" where there is nothing to show.

Ids and class names come from folders, so every text goes through `markup` or `html.escape`.
"""

from .classes import class_lines

__all__ = ["class_lines"]
