"""Labeling: from answers to preferences.

`pairing` marks every answer safe or unsafe, sorts the responders into safety groups and draws two
answers of different groups per question. `judging` compares each pair twice with the answers
swapped and keeps what both verdicts agree on. `splitting` divides the preferences by picture.
In: questions, answers, the pictures' truth. Out: verdicts, pairs, preferences, three splits, and a
record of everything set aside.
"""
