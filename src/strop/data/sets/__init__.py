"""Data sets known by name: one file each, a function without arguments that returns a Source."""

from ...registry import Registry

sets = Registry("data set", __name__, __path__)
