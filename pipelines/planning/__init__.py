"""What a run will ask of endpoints, and what it will cost, before anything is paid.

The stages' own code asks models that only count (`counting`), about a sample of pictures and items
that is scaled up: so every prompt is the one that will be sent. What cannot be known before, how
long answers are, is expected (`lengths`).
"""

from pipelines.planning.planning import Plan, PlanRequest, make_plan

__all__ = ["Plan", "PlanRequest", "make_plan"]
