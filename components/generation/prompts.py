"""This room's prompt files, in the folder `prompts` beside this module."""

from functools import partial

from spavl import prompt_files

render = partial(prompt_files.render, __package__)
