"""Configuration: a profile and overrides become one settings dict per stage.

In: a profile's name (a YAML file in `profiles/`) and overrides such as `dpo.beta=0.2`.
Out: validated settings for every stage; a wrong key or value ends the run here, by name.
"""

from components.configuration.resolve import Settings, profile_names, resolve

__all__ = ["Settings", "profile_names", "resolve"]
