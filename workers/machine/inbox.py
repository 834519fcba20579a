"""What has happened to a worker and waits for its step: inputs to apply, invocations to begin."""

from __future__ import annotations

from collections import deque

from promissory.oplog.entries import Cancelled, Ended, Entry, Invoked
from promissory.oplog.ids import OplogIndex


class Inbox:
    """Inputs in their order; an `Invoked` at their head, or the end of its delay, only moves to the queue."""

    __slots__ = ("delayed", "doomed", "inputs", "queue", "unasked")

    def __init__(self) -> None:
        self.inputs: deque[tuple[OplogIndex, Entry]] = deque()
        """Inputs to apply, oldest first."""
        self.queue: deque[tuple[OplogIndex, Entry, int]] = deque()
        """Invocations to begin and when they were queued, oldest first; a `Cancelled` takes the place of one."""
        self.delayed: dict[OplogIndex, Invoked] = {}
        """Invocations whose time has not come."""
        self.doomed: dict[OplogIndex, Cancelled] = {}
        """Invocations that were cancelled before they began, and what cancelled them: they never begin."""
        self.unasked: set[OplogIndex] = set()
        """Cancellations that are not for the handler to see: they took the place of one that kept failing."""

    def invoke(self, index: OplogIndex, entry: Invoked) -> None:
        """Take an invocation: it is queued when every input before it has been applied."""
        if self.inputs:
            self.inputs.append((index, entry))
        else:
            self._queue(index, entry)

    def cancel(self, index: OplogIndex, entry: Cancelled, running: OplogIndex | None) -> None:
        """Take a cancellation: in the place of the input that it names, else in its own.

        Args:
          index: where it stands.
          entry: the entry there.
          running: the invocation that runs, if one does.
        """
        for i, waiting in enumerate(self.queue):
            if waiting[0] == entry.input:
                self.queue[i] = (index, entry, entry.timestamp)
                return
        for i, (failing, replaced) in enumerate(self.inputs):
            # A delayed invocation keeps its place: it is cancelled after it has come to be.
            if failing == entry.input and type(replaced) is not Invoked:
                self.inputs[i] = (index, entry)
                if type(replaced) is Cancelled:
                    self.unasked.add(index)
                return
        if running != entry.invocation:
            self.doomed.setdefault(entry.invocation, entry)
        self.inputs.append((index, entry))

    def oldest(self) -> tuple[OplogIndex, Entry, int]:
        """Take the oldest invocation from the queue; for one that was cancelled meanwhile, what cancelled it."""
        index, entry, queued = self.queue.popleft()
        if self.doomed:
            entry = self.doomed.get(index, entry)
            if type(entry) is Cancelled:
                self.doomed.pop(entry.invocation, None)
        return index, entry, queued

    def take_back(self, invocation: OplogIndex) -> bool:
        """Remove an invocation that has not begun; False if there is none."""
        self.doomed.pop(invocation, None)
        if self.delayed.pop(invocation, None) is not None:
            return True
        for item in self.queue:
            if item[0] == invocation and type(item[1]) is Invoked:
                self.queue.remove(item)
                return True
        return False

    def queue_invocations(self) -> None:
        """Apply the inputs at the head that only queue: invocations, and delays that have passed."""
        inputs = self.inputs
        while inputs:
            index, entry = inputs[0]
            if type(entry) is Invoked:
                self._queue(index, entry)
            elif type(entry) is Ended and entry.start in self.delayed:
                self.queue.append((entry.start, self.delayed.pop(entry.start), entry.timestamp))
            else:
                return
            inputs.popleft()

    def _queue(self, index: OplogIndex, entry: Invoked) -> None:
        if entry.due is None:
            self.queue.append((index, entry, entry.timestamp))
        else:
            self.delayed[index] = entry
