"""Ablations: which rows, settings and seeds a point trains with, and what its figures say.

Comes in: a plan (`plans/*.yaml`) with its hypotheses, a preference data set that was imported. Goes
out: the points' data sets and settings; and, once the points have answered the benchmarks, the
outcome of every hypothesis and the curves' figures. Training and answering are the other rooms'
business.
"""
