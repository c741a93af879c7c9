"""The model registry: a promoted model becomes a version, and `champion` points to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spavl.storage import local_copy
from spavl.tracking.hostile import TAG_CHARACTERS, text
from spavl.tracking.run_content import figure_tags

ALIAS = "champion"
ARTIFACT = "champion"
DIGEST_TAG = "spavl.digest"
TIME_TAG = "spavl.promoted_at"
DESCRIPTION = (
    "Models that the promotion gate let pass, each better than the one before on one figure; "
    f"`{ALIAS}` points to the last."
)


def register(client: Any, run: str, champion: Mapping[str, Any]) -> str:
    """Register a promoted model and move the alias to it, unless a later promotion holds it.

    A model that the registry has already, by digest, is not registered again.

    Args:
        client: MLflow's client.
        run: The run that holds the model's files.
        champion: What the gate's promotion left: name, digest, folder, figures, headline, time.

    Returns:
        The version.
    """
    name = text(champion["name"].replace("/", "-").replace(":", "-").strip(), 200) or ALIAS
    _have_model(client, name)
    versions = client.search_model_versions(f"name='{name}'")
    same = [each for each in versions if each.tags.get(DIGEST_TAG) == champion["digest"]]
    if same:
        version = same[0].version
    else:
        source = f"runs:/{run}/{ARTIFACT}"
        tags = {DIGEST_TAG: champion["digest"], "spavl.method": champion["model"]}
        version = client.create_model_version(name, source, run, tags=tags).version
    if told := champion.get("headline", ""):
        client.update_model_version(name, version, text(told, TAG_CHARACTERS))
    for key, value in figure_tags(champion["figures"]).items():
        client.set_model_version_tag(name, version, key, text(value, TAG_CHARACTERS))
    promoted_at = float(champion.get("time", 0.0))
    client.set_model_version_tag(name, version, TIME_TAG, str(promoted_at))
    if promoted_at >= _reigning_since(client, name):
        client.set_registered_model_alias(name, ALIAS, version)
    return str(version)


def files_of(champion: Mapping[str, Any]) -> dict[str, Path]:
    """The whole model's folder, as artifacts."""
    folder = local_copy(champion["folder"])
    return {
        f"{ARTIFACT}/{file.relative_to(folder).as_posix()}": file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _have_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _reigning_since(client: Any, name: str) -> float:
    """When the present champion was promoted; 0 where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        reigning = client.get_model_version_by_alias(name, ALIAS)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return 0.0
        raise
    return float(reigning.tags.get(TIME_TAG, 0.0))
