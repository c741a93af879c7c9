"""The stages and the models of their settings."""

from collections.abc import Mapping

from spavl.settings.base_model import BaseModelSettings
from spavl.settings.collection import CollectionSettings
from spavl.settings.common import StageSettings
from spavl.settings.dpo import DpoSettings
from spavl.settings.evaluation import EvaluationSettings
from spavl.settings.gate import GateSettings
from spavl.settings.labeling import LabelingSettings
from spavl.settings.ppo import PpoSettings
from spavl.settings.questions import QuestionsSettings
from spavl.settings.reporting import ReportingSettings
from spavl.settings.responses import ResponsesSettings
from spavl.settings.reward_modeling import RewardModelingSettings

STAGES: Mapping[str, type[StageSettings]] = {
    "base_model": BaseModelSettings,
    "collection": CollectionSettings,
    "questions": QuestionsSettings,
    "responses": ResponsesSettings,
    "labeling": LabelingSettings,
    "reward_modeling": RewardModelingSettings,
    "dpo": DpoSettings,
    "ppo": PpoSettings,
    "evaluation": EvaluationSettings,
    "gate": GateSettings,
    "reporting": ReportingSettings,
}
SHARED_KEYS = ("seed", "threads", "budget")
"""Settings of every stage; given outside of a stage they go to all that set none of their own."""
