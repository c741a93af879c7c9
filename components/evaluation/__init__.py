"""Evaluation: are the aligned models safer than the base, and still of use.

`benchmarks` prepares the items, `answering` lets each model answer them, `scoring` judges the
answers and makes figures with intervals, `gate` chooses a candidate and decides on its promotion.
In: base and aligned models, the image store. Out: answers, verdicts, `figures.json`,
`decision.json`.
"""
