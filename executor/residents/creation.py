"""How workers come to be: on demand or explicitly, for a client or by another worker; ephemeral ones by themselves."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.residents.residents import Activation, Residents
from promissory.oplog.entries import Created
from promissory.oplog.errors import BadArguments
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import Component
from promissory.workers.machine.player import Player

NewPlayer = Callable[[Component, WorkerId], Player]

_POOL_BYTES = 16 * 256


class Creation:
    """Creates workers; every method appends within the unit at hand.

    Args:
      record, registry, residents: of the executor.
      new_player: gives a player that steps its worker as the engine does.
      entropy: random bytes for seeds, keys and names.
    """

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        new_player: NewPlayer,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._new_player = new_player
        self._entropy = entropy
        self._pool: list[bytes] = []

    def find_or_create(
        self, component: Component, worker_id: WorkerId, env: Mapping[str, str], parent: WorkerId | None
    ) -> Activation:
        """Return a worker; one that does not exist is created without arguments.

        Raises:
          BadArguments, NonDeterminismError: it has to be created first, with arguments, or its constructor refuses;
        nothing is written.
        """
        activation = self._residents.find(worker_id)
        if activation is not None and activation.row.life:
            return activation
        return self.create(component, worker_id, b"[]", env, parent, activation)

    def create(
        self,
        component: Component,
        worker_id: WorkerId,
        args: bytes,
        env: Mapping[str, str],
        parent: WorkerId | None,
        former: Activation | None,
    ) -> Activation:
        """Begin a life of a worker that does not exist.

        Args:
          component: the worker's.
          worker_id: its id.
          args: a JSON array that was checked.
          env: what its handlers see as `environment()`.
          parent: the worker that creates it, if one does.
          former: what `Residents.find` gave: None, or the worker that was deleted.

        Raises:
          BadArguments, NonDeterminismError: its constructor refuses; nothing is written.
        """
        if args == b"[]" and component.requires_args:
            raise BadArguments(
                f"{component.name} has required fields: create the worker first, with its arguments",
                worker=self._registry.path_of(worker_id),
            )
        now = self._record.now()
        created = Created(now, worker_id, component.version, args, _in_order(env), parent, self._entropy(32))
        index = OplogIndex(1 if former is None else former.row.last + 1)
        # The constructor may refuse, so it goes before anything is appended.
        player = self._new_player(component, worker_id)
        player.feed(index, created)
        activation = self._residents.create(created, former)
        activation.player = player
        activation.is_loaded = True
        return activation

    def fresh_id(self, component: Component) -> WorkerId:
        """Return the id of a new worker of an ephemeral component: a UUIDv7 of now, never used again."""
        return WorkerId(component.id, uuid7_text(self._record.now() // 1000, self.random16()))

    def fresh_key(self) -> str:
        """Return the idempotency key of an invocation that was given none: a UUIDv4."""
        return uuid4_text(self.random16())

    def random16(self) -> bytes:
        """Return 16 random bytes; the operating system is asked for many at a time, since each time costs 1 us."""
        if not self._pool:
            drawn = self._entropy(_POOL_BYTES)
            self._pool = [drawn[i : i + 16] for i in range(0, len(drawn), 16)]
        return self._pool.pop()


def _in_order(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in the order of its record, so that a handler sees the same live as in replay."""
    if len(env) < 2:
        return dict(env)
    return dict(sorted(env.items(), key=lambda item: (len(item[0].encode()), item[0].encode())))


def uuid4_text(entropy: bytes) -> str:
    """Return 16 random bytes as a UUID of version 4; `uuid.UUID` takes five times as long for the same text."""
    digits = entropy.hex()
    variant = "89ab"[entropy[8] & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def uuid7_text(milliseconds: int, entropy: bytes) -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7): a time and 10 of 16 random bytes."""
    raw = bytearray((milliseconds & (1 << 48) - 1).to_bytes(6, "big") + entropy[:10])
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))
