"""The version of srup, for what says which one it is."""

__version__ = "0.2.0"
