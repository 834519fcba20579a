"""Finds the promise that a text names: COMPONENT/NAME/INDEX, an awakeable's id, or name:NAME."""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.timers import Timers
from promissory.oplog.entries import Created, Entry
from promissory.oplog.errors import BadArguments, NotFound
from promissory.oplog.ids import (
    AWAKEABLE_PREFIX,
    DURABLE_PROMISE,
    NAME_SCHEME,
    AwakeableId,
    OplogIndex,
    WorkerId,
    check_worker_name,
    resolve_component,
    split_promise,
)


class Addressing:
    """Finds promises, and creates those that have names; whatever it creates is appended within the unit at hand.

    Args:
      record, registry, residents, timers: of the executor.
      entropy: random bytes for seeds.
    """

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        timers: Timers,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._timers = timers
        self._entropy = entropy

    def find(self, text: str, *, creates: bool = False) -> tuple[Activation, OplogIndex]:
        """Return the worker that owns a promise and its index there.

        Args:
          text: what names the promise.
          creates: whether a durable promise that does not exist is created.

        Raises:
          NotFound: there is none; whether the index is a promise is not looked at.
          BadArguments: the text has no such form, or is a forged awakeable id.
        """
        if text.startswith(AWAKEABLE_PREFIX):
            return self.awakeable(text)
        if text.startswith(NAME_SCHEME):
            found = self.named(text[len(NAME_SCHEME) :], None, creates=creates)
            if found is None:
                raise NotFound(f"there is no promise {text}")
            return found
        component, name, index = split_promise(text)
        activation = self._residents.find(WorkerId(resolve_component(component), name))
        if activation is None:
            raise NotFound(f"there is no promise {text}")
        return activation, index

    def awakeable(self, text: str) -> tuple[Activation, OplogIndex]:
        """Return the promise that an awakeable's id may settle.

        Raises:
          BadArguments: the id is malformed or forged.
          NotFound: its worker is gone.
        """
        awakeable = AwakeableId.parse(text)
        activation = self._residents.find(awakeable.worker_id)
        if activation is None and not self._leaves_nothing(awakeable.worker_id):
            raise BadArguments(f"bad awakeable id {text!r}: it was not issued here")
        if activation is None or awakeable.oplog_idx < activation.row.life or not activation.row.life:
            raise NotFound(f"the worker of awakeable {text!r} is gone")
        if activation.is_loaded and activation.player is not None:
            created: Entry = activation.player.created
        else:
            created = self._record.entry(activation.ordinal, activation.row.life)
        if not isinstance(created, Created) or not awakeable.is_genuine(created.seed):
            raise BadArguments(f"bad awakeable id {text!r}: it was not issued here")
        return activation, awakeable.oplog_idx

    def named(
        self, name: str, due: int | None, *, creates: bool, parent: WorkerId | None = None
    ) -> tuple[Activation, OplogIndex] | None:
        """Return a durable promise: a worker of the built-in component, whose `Created` is the promise.

        Args:
          name: the promise's.
          due: its deadline, in microseconds since 1970, if it is created now.
          creates: whether it is created if it does not exist.
          parent: the worker that asks, if one does.

        Raises:
          BadArguments: the name is out of limits.
        """
        worker_id = WorkerId(DURABLE_PROMISE, check_worker_name(name))
        activation = self._residents.find(worker_id)
        if activation is None or not activation.row.life:
            if not creates:
                return None
            args = msgspec.json.encode([] if due is None else [due])
            created = Created(self._record.now(), worker_id, 1, args, {}, parent, self._entropy(32))
            activation = self._residents.create(created, activation)
            if due is not None:
                self._timers.add(due, activation.ordinal, activation.row.life)
        return activation, OplogIndex(activation.row.life)

    def _leaves_nothing(self, worker_id: WorkerId) -> bool:
        """Whether a worker that there is no trace of may have been: an ephemeral one whose retention has ended."""
        component = self._registry.by_id(worker_id.component_id)
        if component is None:
            return self._registry.why_unavailable(worker_id.component_id) is not None
        return component.ephemeral
