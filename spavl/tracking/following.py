"""The follower as a process: `python -m spavl.tracking.following RUN_FOLDER`.

Its standard input is its leash: a line with the seconds of patience asks it to bring the rest and
end; when the pipe breaks, whoever started it has died, and it ends at once.
"""

import argparse
import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

from spavl.tracking.launch import PLUGIN, followers_lock, write_outcome

SECONDS_BETWEEN_ROUNDS = 2.0
LONGEST_WAIT_SECONDS = 15.0
LOCK_PATIENCE_SECONDS = 15.0
ENVIRONMENT = {
    # MLflow's own retries hold a call for minutes; here every round is tried again anyway.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",
}


class Leash:
    """Whether to end, and how many seconds the rest may take."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.patience = 0.0
        threading.Thread(target=self._wait, name="leash", daemon=True).start()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line.strip():
            os._exit(0)
        self.patience = float(line)
        self.ended.set()


def main() -> None:
    """Follow a run until the leash says otherwise."""
    leash = Leash()
    parser = argparse.ArgumentParser(description="Bring a run to MLflow.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--only")
    given = parser.parse_args()
    os.nice(10)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with followers_lock(given.folder, LOCK_PATIENCE_SECONDS, given.only):
        _follow(given, leash)


def _follow(given: argparse.Namespace, leash: Leash) -> None:
    from spavl.tracking.follower import Follower
    from spavl.tracking.parents import FollowedRun
    from spavl.tracking.plugin import plugin_tree
    from spavl.tracking.system import sample_until

    sampling = (leash.ended, given.folder, given.only)
    threading.Thread(target=sample_until, args=sampling, name="samples", daemon=True).start()
    tree = plugin_tree(os.environ.get(PLUGIN, ""))
    os.environ.update(tree.environment() if tree else {})
    task = os.environ.get("MLFLOW_RUN_ID") or None
    run = FollowedRun(given.folder, given.run, given.run_id, tree, task)
    follower = Follower(run, os.environ["MLFLOW_TRACKING_URI"], given.only)
    rounds = Rounds(follower, leash)
    while not leash.ended.is_set():
        rounds.one()
        leash.ended.wait(SECONDS_BETWEEN_ROUNDS)
    rounds.last()
    write_outcome(given.folder, given.only, follower.outcome())


class Rounds:
    """Brings, and tries again with growing pauses; tells the run when MLflow goes and comes."""

    def __init__(self, follower: Any, leash: Leash) -> None:
        self._follower = follower
        self._leash = leash
        self._away = False

    def one(self) -> None:
        """Bring what is new; ends without it when the leash does."""
        import tenacity

        ended = self._leash.ended
        self._try(tenacity.stop_when_event_set(ended), tenacity.sleep_using_event(ended))

    def last(self) -> None:
        """Bring the rest, as long as patience lasts."""
        import tenacity

        self._follower.settle()
        self._try(tenacity.stop_after_delay(self._leash.patience), tenacity.nap.sleep)

    def _try(self, stop: Any, sleep: Any) -> None:
        import tenacity

        from spavl.tracking.store import StoreError

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreError),
            wait=tenacity.wait_exponential_jitter(multiplier=0.5, max=LONGEST_WAIT_SECONDS),
            stop=stop,
            sleep=sleep,
            before_sleep=self._tell_trouble,
            reraise=True,
        )
        with contextlib.suppress(StoreError):
            retrying(self._bring)
            if self._away:
                self._away = False
                _tell("MLflow answers again")

    def _bring(self) -> None:
        from spavl.tracking.store import told_apart

        with told_apart():
            self._follower.bring()

    def _tell_trouble(self, state: Any) -> None:
        from spavl.tracking.store import UnansweredError

        error = state.outcome.exception()
        print(f"trying again: {error}", flush=True)
        if isinstance(error, UnansweredError) and not self._away:
            self._away = True
            _tell("MLflow does not answer; the run goes on, its figures wait in its folder")


def _tell(text: str) -> None:
    from spavl.events import tell

    tell("tracking", "note", text=text)


if __name__ == "__main__":
    main()
