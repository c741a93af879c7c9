"""Configuration: a profile and overrides become one settings dict per stage.

In: a profile (a YAML file in `profiles/`, or the user's own) and overrides such as `dpo.beta=0.3`.
Out: validated settings for every stage; a wrong key or value ends the run here, by name.
"""

from components.configuration.profiles import (
    absolute_profile,
    portable_profile,
    profile_label,
    profile_layers,
    profile_names,
)
from components.configuration.resolve import (
    Resolved,
    Settings,
    resolve,
    resolve_for_stages,
    resolve_with_origins,
)
from components.configuration.stages import STAGES

__all__ = [
    "STAGES",
    "Resolved",
    "Settings",
    "absolute_profile",
    "portable_profile",
    "profile_label",
    "profile_layers",
    "profile_names",
    "resolve",
    "resolve_for_stages",
    "resolve_with_origins",
]
