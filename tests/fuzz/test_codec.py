"""Records bent out of shape: the codec gives back what was written, or says that it is corrupt, and nothing else."""

from __future__ import annotations

import random
import zlib
from contextlib import suppress

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog.codec import RECORD_VERSION, decode_cbor, decode_entry, encode_entry
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.ids import OplogIndex, WorkerId, component_id
from promissory.oplog.render import render
from promissory.oplog.tables import oplog_key
from tests.fuzz.values import anything, mutated

INPUTS = 10_000
KEY = oplog_key(7, 42)
WORKER = WorkerId(component_id("target"), "w/0")
I3, I4 = OplogIndex(3), OplogIndex(4)
TIME = 1_700_000_000_000_000

SAMPLES: list[e.Entry] = [
    e.Created(TIME, WORKER, 1, b'["x"]', {"LANG": "en"}, None, bytes(range(32))),
    e.Invoked(TIME, "take", b"[]", "key", None, None, (), None),
    e.Invoked(TIME, "take", b"[]", "key", WORKER, I4, (WORKER,), TIME + 1),
    e.Invoked(TIME, "take", b"[]", None, WORKER, I4, (), None, 86_400_000_000),
    e.Started(TIME, I3, e.CreatePromise(None)),
    e.Started(TIME, I3, e.AwaitPromise(WORKER, I4)),
    e.Started(TIME, I3, e.Run("effect")),
    e.Started(TIME, I3, e.Sleep(1000)),
    e.Started(TIME, I3, e.Call(WORKER, "take", b"[]")),
    e.Started(TIME, I3, e.Send(WORKER, "take", b'["x"]', TIME + 1)),
    e.Started(TIME, I3, e.Ask(WORKER, "look", b"[]")),
    e.Ended(TIME, I4, e.Value(b"\x00\xff")),
    e.Ended(TIME, I4, e.SameAs(I3)),
    e.Completed(TIME, I3, e.Failure("terminal", "no", 500)),
    e.Settled(TIME, I4, e.Value(b"x"), "client:me"),
    e.Errored(TIME, I3, 1, "ValueError: no", "Traceback", TIME + 5),
    e.Logged(TIME, "info", "hello"),
]


def forged(body: bytes) -> bytes:
    """Return the record with this body and a checksum that is right."""
    body = b"\0" + body
    checksum = zlib.crc32(body, zlib.crc32(KEY))
    return bytes([RECORD_VERSION]) + checksum.to_bytes(4, "big") + body


def survives(record: bytes) -> bool:
    """Decode a record: True if it is one. Whatever decodes can also be shown and written again."""
    try:
        entry = decode_entry(KEY, record)
    except (OplogCorrupt, NewerFormat):
        return False
    assert render(1, entry)["kind"] == type(entry).__name__
    assert decode_entry(KEY, encode_entry(KEY, entry)) == entry
    return True


def test_samples_are_records() -> None:
    """What is bent below is sound to begin with."""
    for sample in SAMPLES:
        assert survives(encode_entry(KEY, sample))


def test_ten_thousand_bent_records(rng: random.Random) -> None:
    """A record with any change is found corrupt by its checksum."""
    for _ in range(INPUTS):
        record = encode_entry(KEY, rng.choice(SAMPLES))
        bent = mutated(rng, record)
        assert bent == record or not survives(bent)


def test_ten_thousand_bent_bodies(rng: random.Random) -> None:
    """A body with any change under a right checksum is another entry or corrupt; nothing else is raised."""
    sound = 0
    for _ in range(INPUTS):
        body = encode_entry(KEY, rng.choice(SAMPLES))[6:]
        sound += survives(forged(mutated(rng, body)))
    assert sound < INPUTS


def test_ten_thousand_bent_fields(rng: random.Random) -> None:
    """Fields of other types, missing ones and more of them are corrupt; nothing else is raised."""
    for _ in range(INPUTS):
        fields = list(cbor2.loads(encode_entry(KEY, rng.choice(SAMPLES))[6:]))
        for _ in range(rng.choice([1, 1, 2])):
            at = rng.randrange(len(fields) + 1)
            kind = rng.randrange(3)
            if kind == 0:
                fields[at : at + 1] = [anything(rng)]
            elif kind == 1:
                fields[at:at] = [anything(rng)]
            else:
                del fields[at : at + 1]
        survives(forged(cbor2.dumps(fields, canonical=True)))


@settings(deadline=None, max_examples=500, database=None)
@given(st.binary(max_size=100))
def test_bodies_of_any_bytes(body: bytes) -> None:
    """Any bytes under a right checksum are an entry or corrupt."""
    survives(forged(body))


@settings(deadline=None, max_examples=200, database=None)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_records_of_any_bytes(record: bytes, key: bytes) -> None:
    """Any bytes under any key are corrupt, or of a newer format."""
    with pytest.raises((OplogCorrupt, NewerFormat)):
        decode_entry(key, record)


@pytest.mark.parametrize(
    "body",
    [
        b"\x81" * 100_000 + b"\x00",
        b"\xa1\x00" * 100_000 + b"\x00",
        b"\x9b" + b"\xff" * 8,
        b"\x5b" + b"\xff" * 8,
        b"\x7b\x00\x00\x00\x00\x7f\xff\xff\xff",
        b"\xbb" + b"\xff" * 8,
        b"\x9f\x00\xff",
        b"\xd9\xd9\xf7" * 1000 + b"\x00",
        b"\xf8\xff",
        b"\xf7",
        b"\x61\xff",
        b"",
    ],
)
def test_cbor_bombs(body: bytes) -> None:
    """Deep nesting, lengths beyond memory, tags, indefinite lengths and bad UTF-8 are corrupt."""
    assert not survives(forged(body))
    with suppress(OplogCorrupt):
        decode_cbor(body)
