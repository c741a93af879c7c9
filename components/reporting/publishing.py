"""Publishing: a promoted model gets a place of its own, a card, and a pointer to it."""

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from components.reporting.attacks import attack_table, efforts
from components.reporting.capabilities import capability_rows, own_unit
from components.reporting.files import local_path, read_json, read_optional, write_text
from components.reporting.labels import labels, rule_label
from components.reporting.quarantine import visible
from components.reporting.rules import rule_detail
from components.reporting.summary import drawn_pictures, judges_of, metric_rows, percent
from spavl.champion import DECISION, POINTER, RECORD, champions_folder, crown
from spavl.environment import run_folder
from spavl.errors import InputError
from spavl.headline import headline
from spavl.settings.reporting import ReportingSettings
from spavl.shards import write_json
from spavl.storage import keep, uri_of
from spavl.tracking.launch import followed
from spavl.work import publish_path, report_error

CARD = "README.md"
LINEAGE = "lineage.json"


def publish(
    settings: dict[str, Any],
    candidate: str,
    model: str,
    figures: str,
    decision: str,
    output: str,
    snapshot: str | None = None,
) -> dict[str, Any]:
    """Make the promoted candidate the champion.

    The model is copied (hard links where possible) to `work_root/champion/<digest>`, with its card,
    the decision that promoted it, its line's record and its lineage. The pointers to the champion
    are then replaced, if they still name the one that the gate compared it with. Publishing the
    same model again changes nothing but the decision, record and lineage kept.

    Args:
        settings: `ReportingSettings` as a dict.
        candidate: `dpo` or `ppo`.
        model: The candidate's folder, or its address.
        figures: Folder with `figures.json`.
        decision: Folder with `decision.json`, or that file.
        output: Folder that becomes a copy of the published one.
        snapshot: JSON file of every stage's settings; the card then shows the trainer's.

    Returns:
        What `champion.json` says: name, model, digest, folder and the model's figures.

    Raises:
        InputError: If the decision promotes nothing or another model.
        BusyError: If another model became champion since the gate compared them.
    """
    try:
        checked = ReportingSettings.parse(settings, "reporting")
        verdict = read_json(decision, "decision.json")
        if not verdict["promoted"] or verdict["candidate"] != candidate:
            raise InputError(
                f"{candidate} was not promoted", decision, "publish the promoted model only"
            )
        measured = read_json(figures, "figures.json")
        every = read_json(snapshot, "settings.json") if snapshot else {}
        facts = {
            "name": checked.model_name,
            "license": checked.license,
            "method": candidate,
            **read_json(model, "model.json"),
            "figures": measured["models"],
            "capabilities": capability_rows(measured.get("capabilities", {})),
            "attacks": attack_table(measured.get("attacks", {})),
            "efforts": efforts(measured.get("attacks", {})),
            "rules": verdict["rules"],
            "settings": every.get(candidate),
            "headline": headline(
                measured["models"], verdict, judges_of(measured), every.get("gate", {})
            ),
        }
        with followed("publish"):
            record = read_optional(decision, RECORD) if local_path(decision).is_dir() else {}
            return _publish(facts, verdict, record, local_path(model), Path(output))
    except Exception as error:
        report_error("publish", error)
        raise


def _publish(
    facts: dict[str, Any],
    verdict: dict[str, Any],
    record: dict[str, Any],
    model: Path,
    output: Path,
) -> dict[str, Any]:
    folder = champions_folder() / facts["digest"]
    publish_path(model, folder)
    write_text(folder / CARD, model_card(facts))
    write_json(folder / DECISION, verdict)
    write_json(folder / RECORD, record)
    write_json(folder / LINEAGE, _lineage())
    keep(folder)
    champion = {
        "name": facts["name"],
        "model": facts["method"],
        "digest": facts["digest"],
        "folder": uri_of(folder),
        "figures": facts["figures"][facts["method"]],
        "headline": f"{facts['headline'].sentence} {facts['headline'].caveat}",
    }
    besides = {facts["digest"], *verdict.get("candidates", ())}
    crown(champion, verdict.get("champion"), besides)
    publish_path(folder, output)
    _tell_run(champion)
    return champion


def _lineage() -> dict[str, Any]:
    """Code, settings and inputs of every stage of the run, back to the pictures, by digest."""
    run = run_folder()
    reports = sorted((run / "stages").glob("*.json")) if run else []
    stages = [read_json(report, report.name) for report in reports]
    return {
        stage["stage"]: {**stage["made_by"], "inputs": stage["inputs"], "result": stage["result"]}
        for stage in stages
    }


def _tell_run(champion: dict[str, Any]) -> None:
    """Leave it in the run's folder too: from there it comes to the model registry."""
    run = run_folder()
    if run is not None:
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / POINTER, {**champion, "time": round(time.time(), 3)})


def model_card(facts: dict[str, Any]) -> str:
    """The champion's README.md: origin, settings, figures, limits and intended use."""
    from jinja2 import Environment, StrictUndefined

    # A card is Markdown made of our own settings and figures; nothing that a model wrote enters it.
    environment = Environment(
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=percent,
        drawn_pictures=drawn_pictures,
        own_unit=own_unit,
        visible=visible,
        rule_label=rule_label,
        rule_detail=rule_detail,
    )
    template = files("components.reporting") / "templates" / "model_card.md.jinja"
    return environment.from_string(template.read_text(encoding="utf-8")).render(
        **facts,
        models=list(facts["figures"]),
        metrics=metric_rows(facts["figures"]),
        limits=labels()["limits"],
    )
