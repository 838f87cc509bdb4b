"""Runs a graph: what is cached is found without starting anything, the rest goes to workers."""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olive_build.engine.decide import Decisions, State
from olive_build.engine.events import (
    Event,
    NotReproducible,
    Outcome,
    Provisioning,
    RunStarted,
    Status,
    StepFinished,
    StepStarted,
    StepTold,
    StillRunning,
    Waiting,
)
from olive_build.engine.explain import Plain, Reason, reasons
from olive_build.engine.fingerprint import Description
from olive_build.engine.graph import Graph, Node
from olive_build.engine.locks import Lock
from olive_build.engine.registry import toolchains, worker_kind
from olive_build.engine.store import Artifact, Record, Store
from olive_build.engine.workers import Pool, Worker
from olive_build.errors import OliveBuildError

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 0.3


def ignore(_: Event) -> None:
    """Do nothing with an event."""


def run_graph(
    graph: Graph,
    store: Store,
    *,
    jobs: int | None = None,
    force: bool = False,
    keep_going: bool = False,
    wanted: Collection[str] | None = None,
    on_event: Callable[[Event], None] = ignore,
) -> dict[str, Outcome]:
    """Bring the wanted nodes (default: all) into the store and return what became of each.

    Runs only what they need and the store lacks, `jobs` steps at once (default: 2, or 1 on one
    CPU). A failure is an outcome, not an exception: without `keep_going` nothing is started after
    the first one, with it only what depends on it is left out. `force` runs every node again.
    Events come in the caller's thread, in which toolchains are made too, before anything starts;
    one that cannot be made is the failure of every step that would run in it.

    Raises KeyboardInterrupt within a second of Ctrl-C, with all workers gone and the store
    whole, and StepError if the store cannot be written.
    """
    decisions = Decisions(graph, store, wanted, force)
    return _Run(decisions, jobs or min(2, os.cpu_count() or 1), keep_going, on_event).go()


@dataclass
class _Attempt:
    """A step that runs now: its thread waits for the worker and publishes the result."""

    node: Node
    description: Description
    reasons: tuple[Reason, ...]
    before: Record | None
    worker: Worker
    lock: Lock
    folder: Path
    log: Path
    thread: threading.Thread = field(default_factory=threading.Thread)
    started: float = field(default_factory=time.perf_counter)
    record: Record | None = None
    error: BaseException | None = None


class _Run:
    def __init__(
        self,
        decisions: Decisions,
        jobs: int,
        keep_going: bool,
        on_event: Callable[[Event], None],
    ) -> None:
        self.decisions, self.store, self.nodes = decisions, decisions.store, decisions.nodes
        self.jobs, self.keep_going, self.on_event = jobs, keep_going, on_event
        self.unblocks = _descendants(self.nodes)
        self.running: dict[str, _Attempt] = {}
        self.waiting: set[str] = set()
        self.ended: dict[str, Outcome] = {}
        self.done: queue.SimpleQueue[_Attempt | StepTold] = queue.SimpleQueue()
        self.pool = Pool()
        kinds = {node.id: worker_kind(node.step.worker).toolchain for node in self.nodes}
        self.toolchain_of = {name: toolchain for name, toolchain in kinds.items() if toolchain}
        self.unmade: dict[str, OliveBuildError | None] = {}

    def go(self) -> dict[str, Outcome]:
        self.on_event(RunStarted(len(self.nodes)))
        try:
            while True:
                self.decisions.settle()
                self._report_cached(at_end=False)
                self._provision()
                if self._start_ready():
                    continue
                if not self.running and not self.waiting:
                    break
                self._collect()
        finally:
            self._end_workers()
        self._report_cached(at_end=True)
        self._report_rest()
        return {node.id: self.ended[node.id] for node in self.nodes}

    def _provision(self) -> None:
        """Make each toolchain once that a step which runs, or may have to, needs.

        Where that fails the steps end now: before minutes go into what they would be made from.
        """
        for node in self.nodes if self.toolchain_of else ():
            toolchain, state = self.toolchain_of.get(node.id), self.decisions.states[node.id]
            needed = state.must_run or state.description is None
            if toolchain is None or node.id in self.ended or not needed:
                continue
            if toolchain not in self.unmade:
                self.unmade[toolchain] = self._make_toolchain(toolchain)
            error = self.unmade[toolchain]
            if error:
                why = reasons(self.decisions, node)
                self._end(node, "failed", why, state.description, error=error)

    def _make_toolchain(self, toolchain: str) -> OliveBuildError | None:
        try:
            toolchains().python_of(toolchain, lambda text: self.on_event(Provisioning(text)))
        except OliveBuildError as error:
            return error
        return None

    def _start_ready(self) -> bool:
        """Start what can be started; True if a node turned out to be built by someone else."""
        failed = any(outcome.status == "failed" for outcome in self.ended.values())
        stopped = failed and not self.keep_going
        ready = [] if stopped else [node for node in self.nodes if self._startable(node)]
        self.waiting &= {node.id for node in ready}
        # Exclusive steps come last: they start when everything else has ended.
        ready.sort(key=lambda node: (node.step.exclusive, -self.unblocks[node.id]))
        for node in ready:
            if self._kind_is_busy(node.step.worker):
                continue
            alone = any(attempt.node.step.exclusive for attempt in self.running.values())
            full = len(self.running) >= self.jobs
            if alone or full or (node.step.exclusive and self.running):
                break
            if self._start(node):
                return True
        return False

    def _kind_is_busy(self, kind: str) -> bool:
        busy = sum(attempt.node.step.worker == kind for attempt in self.running.values())
        return busy >= worker_kind(kind).at_most(self.jobs)

    def _startable(self, node: Node) -> bool:
        before = self.ended.get(node.id)  # one that ran may have to again, for another input
        free = node.id not in self.running and (before is None or before.status != "failed")
        return free and self.decisions.ready(node)

    def _start(self, node: Node) -> bool:
        """Start a node unless another build has its lock; True if that one has finished it."""
        state = self.decisions.states[node.id]
        assert state.description is not None
        lock = self.store.try_lock(state.description.key)
        if lock is None:
            if node.id not in self.waiting:
                self.waiting.add(node.id)
                self.on_event(Waiting(node.slot, state.description.key))
            return False
        self.waiting.discard(node.id)
        try:
            why = reasons(self.decisions, node)
            self.decisions.look_up(node)
            if state.artifact is not None and not self.decisions.force:
                lock.release()
                return True
            self._launch(node, state, why, lock)
        except BaseException:
            lock.release()
            raise
        return False

    def _launch(self, node: Node, state: State, why: tuple[Reason, ...], lock: Lock) -> None:
        assert state.description is not None
        inputs = {name: self.decisions.path(source) for name, source in node.inputs}
        log = self.store.new_log(node.slot, state.description.key)
        worker = self.pool.take(node.step.worker, log, self.store.attempt)
        folder = self.store.attempt()
        attempt = _Attempt(node, state.description, why, state.record, worker, lock, folder, log)
        attempt.thread = threading.Thread(target=self._attempt, args=(attempt, inputs), daemon=True)
        self.on_event(StepStarted(node.slot, attempt.description.name, why[0]))
        attempt.thread.start()
        self.running[node.id] = attempt

    def _attempt(self, attempt: _Attempt, inputs: dict[str, str]) -> None:
        """Run a step to its end (in a thread): the worker's part, then hashing and publishing."""
        node, out = attempt.node, attempt.folder
        try:
            ran = attempt.worker.run(
                attempt.description,
                inputs,
                out,
                attempt.log,
                node.slot,
                lambda text: self.done.put(StepTold(node.slot, text)),
            )
            attempt.record = self.store.publish(
                ran.description, out, attempt.log, ran.seconds, ran.peak_bytes
            )
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which knows what to do
            attempt.error = error
        shutil.rmtree(out, ignore_errors=True)
        self.done.put(attempt)

    def _collect(self) -> None:
        """Wait for a step to end, or a moment if another build is to be asked again."""
        try:
            attempt = self.done.get(timeout=_POLL_SECONDS if self.waiting else 1.0)
        except queue.Empty:
            self.on_event(StillRunning())
            return
        if isinstance(attempt, StepTold):
            self.on_event(attempt)
            return
        del self.running[attempt.node.id]
        attempt.lock.release()
        self.pool.give_back(attempt.worker)
        if attempt.record is not None:
            self._succeeded(attempt, attempt.record)
        elif isinstance(attempt.error, OliveBuildError):
            seconds = time.perf_counter() - attempt.started
            more = {"error": attempt.error, "seconds": seconds, "log": attempt.log}
            self._end(attempt.node, "failed", attempt.reasons, attempt.description, **more)
        elif attempt.error is not None:
            raise attempt.error

    def _succeeded(self, attempt: _Attempt, record: Record) -> None:
        node, before = attempt.node, attempt.before
        if before is not None and before.artifact != record.artifact:
            changed = {entry.path for entry in set(before.files) ^ set(record.files)}
            self.on_event(NotReproducible(node.slot, record.key, tuple(sorted(changed))))
        state = self.decisions.states[node.id]
        artifact = self.store.artifact(record)
        if state.description == attempt.description:  # else an input was made anew meanwhile
            state.record, state.artifact = record, artifact
            state.ran = True
        made = self._made(node, record, artifact)
        self._end(node, "ran", attempt.reasons, record.description, **made)

    def _made(self, node: Node, record: Record, artifact: Artifact | None) -> dict[str, Any]:
        """Note in the slot's history, and return, what a step gave now or before."""
        self.store.remember(node.slot, record.description)
        return {
            "artifact": artifact,
            "seconds": record.seconds,
            "peak_bytes": record.peak_bytes,
            "log": self.store.root / record.log,
        }

    def _end(
        self,
        node: Node,
        status: Status,
        why: tuple[Reason, ...],
        description: Description | None,
        **more: Any,
    ) -> None:
        key = description.key if description else None
        outcome = Outcome(node.id, node.slot, status, reasons=why, key=key, **more)
        self.ended[node.id] = outcome
        self.on_event(StepFinished(outcome))

    def _end_workers(self) -> None:
        """Kill the workers; steps that an error or Ctrl-C cut short get a moment to clear up."""
        self.pool.close(_GRACE_SECONDS)
        for attempt in self.running.values():
            attempt.thread.join(_GRACE_SECONDS)
            attempt.lock.release()

    def _report_cached(self, *, at_end: bool) -> None:
        """Report what need not run; what is recorded but gone may yet have to, until the end."""
        for node in self.nodes:
            state = self.decisions.states[node.id]
            there = state.artifact is not None or at_end
            if node.id not in self.ended and state.record and there and not state.must_run:
                # Looked up a moment ago, which reads every small file: once is enough.
                artifact = state.artifact or self.store.artifact(state.record)
                made = self._made(node, state.record, artifact)
                self._end(node, "cached", (Plain.UP_TO_DATE,), state.description, **made)

    def _report_rest(self) -> None:
        """Report what a failure kept from running, in order, so that blame is passed on."""
        for node in self.nodes:
            if node.id in self.ended:
                continue
            sources = [self.ended[s] for _, s in node.inputs if s in self.ended]
            blame = [s.blocked_by or s.slot for s in sources if s.status in ("failed", "skipped")]
            why, description = (
                reasons(self.decisions, node),
                self.decisions.states[node.id].description,
            )
            status: Status = "skipped" if blame else "not started"
            self._end(node, status, why, description, blocked_by=blame[0] if blame else None)


def _descendants(nodes: tuple[Node, ...]) -> dict[str, int]:
    """Return how many nodes depend on each, directly or not."""
    below: dict[str, set[str]] = {node.id: set() for node in nodes}
    for node in reversed(nodes):
        for _, source in node.inputs:
            if source in below:
                below[source] |= below[node.id] | {node.id}
    return {name: len(found) for name, found in below.items()}
