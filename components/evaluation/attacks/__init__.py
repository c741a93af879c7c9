"""Attacks: what a model says when somebody tries.

`attacking` is the stage: it lets one model answer under attack, beside its answers to the
benchmarks. `target` is the model as an attacker has it; `best_of_n` asks again and again, `pixels`
changes the picture by its gradient, `suffix_search` looks for words behind the question. `judged`
has the first judge judge these answers, `figures` makes figures of its verdicts.
"""
