"""Brings what is new in a run's folder to MLflow; called again and again, it says nothing twice."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from spavl.tracking.address import run_link
from spavl.tracking.curves import by_metrics, metrics
from spavl.tracking.launch import OPENING, Outcome
from spavl.tracking.parents import FollowedRun, parent_of
from spavl.tracking.positions import FOLDER, Position, load_position
from spavl.tracking.run_parts import STATUS, run_parts
from spavl.tracking.stage_parts import stage_parts
from spavl.tracking.stages import CURVES, StageReader, StageView, rows_after
from spavl.tracking.store import (
    RUN_TAG,
    STAGE_TAG,
    WORK_TAG,
    FailedError,
    RefusedError,
    Store,
    told_apart,
)

WHOLE = "whole"
RUN_SCOPES = (None, "report", "publish", OPENING)
CACHED_TAG = "spavl.cached"
ENDED = {"done": "FINISHED", "failed": "FAILED"}
Parts = Mapping[str, Callable[[Store, str], None]]


class Follower:
    """Follows one run.

    Args:
        run: The run.
        uri: Tracking URI.
        only: The one stage to follow, `report` or `publish`, as in a pod; `opening` to have the run
            there under its name; None for all.
    """

    def __init__(self, run: FollowedRun, uri: str, only: str | None = None) -> None:
        self._run, self._folder = run, run.folder
        self._uri = uri
        self._only = only
        self._own = only or "run"
        self._reader = StageReader(self._folder)
        self._store: Store | None = None
        self._parent = ""
        self._positions: dict[str, Position] = {}
        self._offsets: dict[tuple[Path, int | None], int] = {}
        self._refused: dict[str, str] = {}
        self._failed: list[str] = []
        self._answered = False

    @property
    def link(self) -> str:
        """What opens the run; empty before MLflow was reached."""
        if self._store is None:
            return ""
        return run_link(self._uri, self._store.experiment, self._parent)

    def bring(self) -> None:
        """Bring all that is new.

        Raises:
            UnansweredError: If MLflow does not answer; what was brought before is remembered.
            FailedError: If it answered and failed at something; all else was brought.
        """
        self._failed, self._answered = [], False
        views = self._reader.read()
        with told_apart():
            self._connect()
        for view in list(views.values()):
            if self._only in (None, view.name):
                self._attempt(view.name, partial(self._bring_stage, view))
        if self._only in RUN_SCOPES:
            self._attempt("run", self._bring_run)
        if self._failed:
            raise FailedError("; ".join(self._failed))
        self._answered = True

    def outcome(self) -> Outcome:
        """How following ended: what is not in MLflow, for people."""
        refused = [f"refused: {name}: {why}" for name, why in self._refused.items()]
        gap = "; ".join(self._gaps() + refused)
        return Outcome(self.link, gap, lasting=bool(gap) and self._answered)

    def _gaps(self) -> list[str]:
        told: list[str] = []
        for view in self._reader.read().values():
            if self._only in (None, view.name):
                told += _unsent(view.name, self._unsent_of(view))
        parts = run_parts(self._folder, self._only)
        known = self._position(self._own)
        unsent = [name.split("@")[0] for name in parts if name not in known.sent]
        final = self._final_status()
        if final and self._only is None and _status_part(final) not in known.sent:
            unsent.append("its end")
        if self._only == OPENING and not self._answered:
            unsent.append("its name")
        return told + _unsent("run", unsent)

    def settle(self) -> None:
        """Agree with pods that started at the same time on one parent run."""
        self._parent = ""

    def _connect(self) -> None:
        if self._store is None:
            self._store = Store(self._uri, self._run.id)
        if not self._parent:
            starts = (view.started for view in self._reader.views.values())
            start = min((each for each in starts if each), default=None)
            self._parent = parent_of(self._run, self._store, start)

    @property
    def _connected(self) -> Store:
        assert self._store is not None
        return self._store

    def _attempt(self, name: str, send: Callable[[], None]) -> bool:
        """Do one thing; a failure is remembered and hinders nothing else."""
        if name in self._refused:
            return False
        try:
            with told_apart():
                send()
        except RefusedError as error:
            self._refused[name] = str(error)
            print(f"refused: {name}: {error}", flush=True)
            return False
        except FailedError as error:
            self._failed.append(f"{name}: {error}")
            return False
        return True

    # A stage

    def _bring_stage(self, view: StageView) -> None:
        position = self._position(view.name)
        if WHOLE in position.sent and position.work == view.work_id and self._is_here(position):
            return
        position = self._rooted(view, position)
        parts = stage_parts(view, self._reader.views)
        done = self._send_parts(view.name, position, parts)
        curves, samples = view.work / CURVES, self._folder / FOLDER / f"{view.name}.system.jsonl"
        for name, file, counter in (("curves", curves, "step"), ("samples", samples, "sample")):
            send = partial(self._bring_curve, view, position, file, counter)
            self._attempt(f"{view.name}: {name}", send)
        status = ENDED.get(view.state, "RUNNING")
        # What was at work when the run ended was closed with it, and stays so.
        if status != position.status and (status != "RUNNING" or not self._final_status()):
            self._set_status(position, status, view.ended, view.message)
        behind = next(rows_after(curves, position.step), None)
        if done and view.state == "done" and behind is None:
            position.sent.append(WHOLE)
        position.save(self._folder, view.name)

    def _is_here(self, position: Position) -> bool:
        return position.parent == self._parent

    def _rooted(self, view: StageView, position: Position) -> Position:
        """The position with a run in this store below this parent."""
        store = self._connected
        if position.run and position.work != view.work_id:  # it started anew with other work
            if position.status == "RUNNING" and not self._run.task:
                store.end(position.run, "KILLED")
            position = Position()
        if position.run and not self._is_here(position) and not store.has(position.run):
            position = Position()
        if not position.run:
            position.run = self._given_to(view) or self._nested(view)
            position.work = view.work_id
        if not self._is_here(position):
            if position.run not in (self._run.task, self._parent):
                store.adopt(position.run, self._parent)
            position.parent = self._parent
        self._positions[view.name] = position
        position.save(self._folder, view.name)
        return position

    def _given_to(self, view: StageView) -> str | None:
        """KFP's run of this pod's task, for the first stage that the task does."""
        given = self._run.task if self._only else None
        if given is None:
            return None
        store = self._connected
        if store.client.get_run(given).data.tags.get(STAGE_TAG, view.name) != view.name:
            return None
        own = {RUN_TAG: self._run.id, STAGE_TAG: view.name, WORK_TAG: view.work_id}
        store.log_tags(given, own)
        return given

    def _nested(self, view: StageView) -> str:
        store = self._connected
        tags = {}
        if view.reused:
            tags["cached_from"] = store.made_in(view.work_id) or view.work_id
        return store.nested(view.name, view.work_id, view.started, tags)

    def _bring_curve(self, view: StageView, position: Position, file: Path, counter: str) -> None:
        """Send new rows in batches; what was sent is remembered after each."""
        place = (file, view.process)
        rows = rows_after(file, getattr(position, counter), self._offsets.get(place, 0))
        for batch in by_metrics(rows):
            self._connected.log_metrics(position.run, metrics(batch, view))
            setattr(position, counter, batch[-1].step)
            self._offsets[place] = batch[-1].end
            position.save(self._folder, view.name)

    # The run

    def _bring_run(self) -> None:
        position = self._position(self._own)
        if position.run != self._parent:
            position = self._positions[self._own] = Position(run=self._parent, parent=self._parent)
        self._know_what_pods_sent(position)
        if not self._final_status() and self._is_closed(position):
            self._set_status(position, "RUNNING", None, "")
        self._send_parts(self._own, position, run_parts(self._folder, self._only))
        final = self._final_status()
        if final and self._only is None:
            if _status_part(final) not in position.sent:
                self._end_run(final, position)
                position.sent.append(_status_part(final))
            if self._run.tree:
                self._correct(final)
        position.save(self._folder, self._own)

    def _is_closed(self, position: Position) -> bool:
        if self._only == OPENING:  # by an ending that was not the last, as before a retry of KFP's
            return self._connected.status(position.run) != "RUNNING"
        return position.status != "RUNNING"

    def _know_what_pods_sent(self, position: Position) -> None:
        """Whoever closes a run of pods need not send a champion's weights again."""
        for scope in RUN_SCOPES[1:] if self._only is None else ():
            other = load_position(self._folder, str(scope))
            if other.run == self._parent:
                position.sent += [part for part in other.sent if part not in position.sent]

    def _end_run(self, final: Mapping[str, Any], position: Position) -> None:
        """Close the parent and whatever was still at work when the run ended."""
        for view in self._reader.views.values():
            own = self._position(view.name)
            if own.run and own.status == "RUNNING" and view.state == "running":
                self._set_status(own, final["status"], final["time"], "")
                own.save(self._folder, view.name)
        if final.get("cached"):
            self._connected.log_tags(position.run, {CACHED_TAG: "true"})
        self._set_status(position, final["status"], final["time"], final["error"])

    def _correct(self, final: Mapping[str, Any]) -> None:
        """Say again what KFP, which closes its tree too and knows less, has said otherwise.

        It takes a terminated run for a failed one, and whatever was at work for failed.
        """
        store = self._connected
        told = [(self._parent, final["status"], final["time"])]
        for view in self._reader.views.values():
            run = self._position(view.name).run
            told.append((run, ENDED.get(view.state, final["status"]), view.ended or final["time"]))
        for run, status, when in told:
            if run and store.status(run) != status:
                store.end(run, status, when)

    def _final_status(self) -> dict[str, Any]:
        """How the run ended; empty while it goes."""
        try:
            content: dict[str, Any] = json.loads((self._folder / FOLDER / STATUS).read_text())
        except (OSError, ValueError):
            return {}
        return content

    # Both

    def _set_status(
        self, position: Position, status: str, when: float | None, message: str
    ) -> None:
        store = self._connected
        store.tell_error(position.run, message)
        if not self._is_kfps(position.run):
            if status == "RUNNING":
                store.reopen(position.run)
            else:
                store.end(position.run, status, when)
        position.status = status

    def _is_kfps(self, run: str) -> bool:
        """Whether KFP opens and closes a run; when a run is over, it has done so."""
        told = self._run.task or (self._only and self._run.tree)
        return bool(told) and run in (self._run.task, self._parent)

    def _send_parts(self, name: str, position: Position, parts: Parts) -> bool:
        """Send what was not sent; whether all is there now."""
        for part, send in parts.items():
            said = partial(send, self._connected, position.run)
            if part not in position.sent and self._attempt(f"{name}: {part.split('@')[0]}", said):
                position.sent.append(part)
                position.save(self._folder, name)
        return all(part in position.sent for part in parts)

    def _position(self, name: str) -> Position:
        if name not in self._positions:
            self._positions[name] = load_position(self._folder, name)
        return self._positions[name]

    def _unsent_of(self, view: StageView) -> list[str]:
        position = self._position(view.name)
        if position.work != view.work_id:
            position = Position()
        if WHOLE in position.sent:
            return []
        rows = sum(1 for _ in rows_after(view.work / CURVES, position.step))
        parts = stage_parts(view, self._reader.views)
        found = [f"{rows} steps"] if rows else []
        found += [part for part in parts if part not in position.sent]
        ended = ENDED.get(view.state, self._final_status().get("status", ""))
        return found or ([] if position.status == ended else ["its end"])


def _status_part(final: Mapping[str, Any]) -> str:
    return f"status@{final['time']}"


def _unsent(name: str, what: list[str]) -> list[str]:
    return [f"{name}: {', '.join(what)}"] if what else []
