"""Readers of what others made, given inputs that nobody wrote: `python -m tests.fuzz TARGET`."""
