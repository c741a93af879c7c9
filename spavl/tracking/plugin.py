"""The tree of runs that KFP's own MLflow plugin makes, as its pods are told of it.

KFP 2.17 names the tree in one variable of every launcher, and what a launcher starts inherits it.
Where the plugin injects, the task's own run comes beside it in `MLFLOW_RUN_ID`; where it does not,
stages hang their runs below the tree's parent.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class PluginTree:
    """A run's tree.

    Attributes:
        endpoint: Tracking URI.
        experiment: Id of its experiment.
        parent: The run that stands for the whole pipeline run.
        auth: How MLflow is to know who asks: `none`, `basic-auth`, `bearer` or `kubernetes`.
        workspace: MLflow's workspace, where it has several.
        insecure: Whether its certificate is to be taken as it is.
    """

    endpoint: str
    experiment: str
    parent: str
    auth: str = "none"
    workspace: str = ""
    insecure: bool = False

    def environment(self) -> dict[str, str]:
        """What MLflow's client needs to log there; user, password and token come from Secrets."""
        told = {"MLFLOW_TRACKING_URI": self.endpoint, "MLFLOW_EXPERIMENT_ID": self.experiment}
        if self.workspace:
            told["MLFLOW_WORKSPACE"] = self.workspace
        if self.auth == "kubernetes":
            told["MLFLOW_TRACKING_AUTH"] = (
                "kubernetes-namespaced" if self.workspace else "kubernetes"
            )
        if self.insecure:
            told["MLFLOW_TRACKING_INSECURE_TLS"] = "true"
        return told


def plugin_tree(text: str) -> PluginTree | None:
    """The tree that the plugin's variable names; None where there is none.

    What the launcher itself would not take, it made no tree by.
    """
    try:
        told = json.loads(text or "{}")
        return PluginTree(
            endpoint=_named(told, "endpoint"),
            experiment=_named(told, "experimentId"),
            parent=_named(told, "parentRunId"),
            auth=told.get("authType") or "none",
            workspace=told.get("workspace") or "",
            insecure=bool(told.get("insecureSkipVerify")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _named(told: dict[str, object], key: str) -> str:
    value = told[key]
    if not isinstance(value, str) or not value:
        raise ValueError(key)
    return value
