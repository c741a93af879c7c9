"""Schedules worked by hand."""

import pytest

from spavl.alignment.schedule import learning_rate_share
from spavl.settings.dpo import DpoSettings
from spavl.settings.reward_modeling import RewardModelingSettings


def test_cosine_rises_over_the_warm_up_and_falls_to_0() -> None:
    settings = DpoSettings(warmup_steps=3)
    found = [learning_rate_share(settings, update, 11) for update in range(11)]
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[7] == pytest.approx(0.5)  # half of the 8 updates after the warm-up
    assert found[10] == pytest.approx(0.0380602, abs=1e-6)
    assert sorted(found[3:], reverse=True) == found[3:]


def test_the_constant_schedule_warms_up_over_its_share_of_all_steps() -> None:
    settings = RewardModelingSettings(warmup_ratio=0.03)
    found = [learning_rate_share(settings, update, 100) for update in range(100)]
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert set(found[3:]) == {1.0}
