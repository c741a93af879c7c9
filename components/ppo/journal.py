"""Rollouts on disk while training goes on, and as a data set when it is done."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from components.ppo.experience import Experience
from spavl.alignment import processes
from spavl.records import Rollout, record_id
from spavl.work import Work

ROLLOUTS = "rollouts"


class RolloutJournal:
    """Rollouts appended an iteration at a time, by the leading process.

    Args:
        work: The stage's work; the data set is left in its folder `rollouts`.
        start: Iteration that training goes on from; what a run that was cut short wrote of it or
            later is dropped.
    """

    def __init__(self, work: Work, start: int) -> None:
        self._work = work
        self._path: Path = work.checkpoint / "rollouts.jsonl"  # goes when the work is committed
        self._cut(start)

    def add(self, experience: Experience, iteration: int) -> None:
        """Append an iteration's rollouts."""
        if not processes.is_leader():
            return
        with self._path.open("a") as stream:
            for rollout in rollouts_of(experience, iteration):
                stream.write(json.dumps(dataclasses.asdict(rollout)) + "\n")

    def publish(self) -> int:
        """Write the data set.

        Returns:
            Its rows; 0 in processes other than the leader.
        """
        if not processes.is_leader():
            return 0
        rows = 0
        with self._work.writer(ROLLOUTS, Rollout) as writer, self._path.open() as stream:
            for line in stream:
                writer.add(Rollout(**json.loads(line)))
                rows += 1
        return rows

    def _cut(self, start: int) -> None:
        if not processes.is_leader():
            return
        self._path.touch()
        unfinished = self._path.with_suffix(".unfinished")
        with self._path.open() as old, unfinished.open("w") as new:
            for line in old:
                if line.endswith("\n") and json.loads(line)["iteration"] < start:
                    new.write(line)
        unfinished.rename(self._path)


def rollouts_of(experience: Experience, iteration: int) -> Iterator[Rollout]:
    """An iteration's rollouts as records; reward is the reward model's score, KL per answer."""
    tokens = experience.mask.sum(dim=1).tolist()
    kl = (experience.kl * experience.mask).sum(dim=1).tolist()
    for place, prompt in enumerate(experience.prompts):
        yield Rollout(
            rollout_id=record_id(str(iteration), str(place), prompt.question_id),
            iteration=iteration,
            image_id=prompt.image_id,
            question_id=prompt.question_id,
            prompt=prompt.text,
            response=experience.texts[place],
            reward=float(experience.scores[place]),
            kl=kl[place],
            tokens=tokens[place],
        )
