"""What works on this machine, and how to get what does not.

Each check stands alone and has a time limit; all run at once. A check that a laptop run needs is
`required`; the others tell what more could be done here (GPUs, containers, a cluster, services).
"""

from pipelines.doctor.checks import Check, Finding, examine
from pipelines.doctor.machine import machine_checks
from pipelines.doctor.services import service_checks
from pipelines.doctor.tools import tool_checks

__all__ = ["Check", "Finding", "all_checks", "examine"]


def all_checks() -> list[Check]:
    """Every check, in the order in which it is told."""
    return [*machine_checks(), *service_checks(), *tool_checks()]
