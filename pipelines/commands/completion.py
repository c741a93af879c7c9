"""What the shell offers after `--profile`, `--set` and keys of settings."""

from collections.abc import Iterator


def complete_profile(incomplete: str) -> list[tuple[str, str]]:
    """Profiles that ship with the project; the shell itself completes files."""
    from components.configuration import profile_layers, profile_names

    names = [name for name in profile_names() if name.startswith(incomplete)]
    return [(name, profile_layers(name)[-1].description) for name in names]


def complete_setting(incomplete: str) -> list[tuple[str, str]]:
    """Keys with their `=`; after it the values, where there are few."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        keys = (("seed", "The run's seed, for all stages."), ("threads", "For all stages."))
        found = [*keys, *((key, meaning) for key, meaning, _ in _settings())]
        return [(f"{name}=", meaning) for name, meaning in found if name.startswith(key)]
    return [
        (f"{key}={choice}", meaning)
        for name, meaning, choices in _settings()
        for choice in choices
        if name == key and choice.startswith(value)
    ]


def complete_shown(incomplete: str) -> list[tuple[str, str]]:
    """Stages, and keys once a stage is named."""
    from components.configuration import STAGES

    if "." not in incomplete:
        return [(name, "") for name in STAGES if name.startswith(incomplete)]
    return [(key, meaning) for key, meaning, _ in _settings() if key.startswith(incomplete)]


def _settings() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    from components.configuration import STAGES
    from components.configuration.fields import setting_fields

    seen = set()
    for stage, model in STAGES.items():
        for field in setting_fields(model, stage):
            if field.key not in seen:
                seen.add(field.key)
                yield field.key, field.description, field.choices
