"""Generation: questions about the pictures, and answers from many responders.

Comes in: the image store and the base model. Goes out: a data set of `Question` (a caption, then an
easy question, a hard question and a hard statement for each picture) and, from as many tasks as one
likes, data sets of `Response`. Both steps keep every reply in a journal and go on where they were.
"""
