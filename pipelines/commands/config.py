"""`spavl config`: what a run would be set to, and what can be set."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.completion import complete_profile, complete_setting, complete_shown

if TYPE_CHECKING:
    from components.configuration.showing import ShownSetting

config = typer.Typer(
    help="Show and describe settings: resolved values, profiles, JSON schema, reference.",
    invoke_without_command=True,
    rich_markup_mode="markdown",
)


@config.callback()
def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@config.command(
    epilog="Examples:\n\n"
    "- `spavl config show dpo`\n"
    "- `spavl config show --profile mine.yaml --set dpo.beta=0.3 | grep -v '# default'`\n"
    "- `spavl config show --profile llava-1.5-7b --json > settings.json`\n"
)
def show(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY",
            help="Stages or keys to show, e.g. dpo or labeling.pairing; all by default.",
            autocompletion=complete_shown,
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="Name of a profile or path of your own YAML file.",
            autocompletion=complete_profile,
        ),
    ] = "pocket",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Change one setting; repeatable.",
            autocompletion=complete_setting,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the settings that a run would take, and where each came from.

    On a terminal one table a stage; elsewhere one line a setting, `key = value # origin: meaning`.
    The origin is `default`, `profile NAME`, the path of your own profile, or `--set`.
    """
    from components.configuration import resolve_with_origins
    from components.configuration.showing import shown_settings

    shown = shown_settings(resolve_with_origins(profile, set_ or ()), tuple(keys or ()))
    if as_json:
        _print_json(shown)
    elif sys.stdout.isatty():
        _print_tables(shown)
    else:
        _print_lines(shown)


@config.command()
def profiles(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the profiles that ship with the project, and what each is for."""
    from components.configuration import profile_layers, profile_names

    found = {name: profile_layers(name)[-1].description for name in profile_names()}
    if as_json:
        import json

        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for name, description in found.items():
        print(f"{name:<20}  {description}")


@config.command(
    epilog="Example: `spavl config schema > profile.schema.json`; then let the first line of your "
    "profile be `# yaml-language-server: $schema=profile.schema.json`."
)
def schema() -> None:
    """Print the JSON schema of a profile, with which editors complete and check yours."""
    from components.configuration.schema import schema_text

    print(schema_text(), end="")


@config.command(epilog="Example: `spavl config reference > docs/settings.md`")
def reference() -> None:
    """Print the reference of all settings as Markdown."""
    from components.configuration.reference import settings_reference

    print(settings_reference(), end="")


def _print_json(shown: "Sequence[ShownSetting]") -> None:
    import json
    from dataclasses import asdict

    print(json.dumps([asdict(one) for one in shown], indent=1, ensure_ascii=False))


def _print_lines(shown: "Sequence[ShownSetting]") -> None:
    from components.configuration.values import value_text

    for one in shown:
        meaning = f": {one.description}" if one.description else ""
        print(f"{one.key} = {value_text(one.value)}  # {one.origin}{meaning}")


def _print_tables(shown: "Sequence[ShownSetting]") -> None:
    from itertools import groupby

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from components.configuration.values import value_text

    console = Console()
    for stage, rows in groupby(shown, lambda one: one.key.partition(".")[0]):
        table = Table("setting", "value", "from", "meaning", title=stage, title_justify="left")
        table.columns[0].no_wrap = True
        for one in rows:
            key = escape(one.key.removeprefix(f"{stage}."))
            cells = (key, escape(value_text(one.value)), escape(one.origin))
            style = "dim" if one.origin == "default" else ""
            table.add_row(*cells, escape(one.description), style=style)
        console.print(table)
