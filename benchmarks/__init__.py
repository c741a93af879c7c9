"""Benchmarks: ours against a named baseline in one run, each written so that a sceptic finds it
fair. `spavl bench NAME --json FILE` runs one; they are part of the source tree, not of the wheel.
"""
