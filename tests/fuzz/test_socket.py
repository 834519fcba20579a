"""A daemon under fire from its own socket: it never falls, never hangs, always says why, and holds on to nothing."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promissory.executor.protocol.frames import encode_frame
from tests.fuzz.target import Target, Wire
from tests.fuzz.values import MAY_WAIT, OPERATIONS, WORKERS, anything, mutated, request

INPUTS = 10_000
PER_CONNECTION = 40

PLAIN = settings(
    deadline=None, max_examples=150, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_error(error: Any) -> None:
    """Assert that an error says what is wrong, and that it is not ours."""
    assert isinstance(error["code"], str)
    assert error["message"]
    assert "internal error" not in error["message"], error
    assert error["code"] not in ("error", "store_failed"), error


def volley(wire: Wire, rng: random.Random, known: dict[str, list[str]], count: int) -> int:
    """Send requests that are nearly right, all at once, and take their answers; return how many were refused."""
    requests = {n: request(rng, known) for n in range(1, count + 1)}
    wire.send(b"".join(encode_frame({"id": n, **fields}) for n, fields in requests.items()))
    wire.send(encode_frame({"id": 0, "op": "status"}))
    open_ids = {0} | {n for n, fields in requests.items() if str(fields.get("op")) not in MAY_WAIT}
    refused = 0
    while open_ids:
        message = wire.receive()
        assert message is not None, [requests[n] for n in open_ids if n]
        if "item" in message:
            promise = message["item"].get("promise")
            if promise is not None:
                known["promise"] = [*known["promise"][-20:], promise]
            continue
        open_ids.discard(message["id"])
        if "error" in message:
            refused += 1
            check_error(message["error"])
        elif isinstance(message["ok"], dict) and "invocation" in message["ok"]:
            known["invocation"] = [*known["invocation"][-20:], message["ok"]["invocation"]]
    return refused


def fire(target: Target, rng: random.Random, inputs: int) -> int:
    """Send requests and bent frames, on many connections."""
    known: dict[str, list[str]] = {"invocation": [], "promise": []}
    refused = 0
    for _ in range(inputs // (2 * PER_CONNECTION)):
        with target.wire() as wire:
            refused += volley(wire, rng, known, PER_CONNECTION)
        for _ in range(PER_CONNECTION // 4):
            frames = b"".join(encode_frame({"id": n, **request(rng, known)}) for n in range(4))
            with target.wire() as wire:
                wire.send(mutated(rng, frames))
                wire.end()
                for message in wire.rest():
                    if "error" in message:
                        check_error(message["error"])
    return refused


def test_ten_thousand_inputs(target: Target, rng: random.Random) -> None:
    """After ten thousand requests, half of them bent, the daemon is well and holds no more than before."""
    fire(target, rng, 2_000)
    target.is_well()
    before = target.measure()
    refused = fire(target, rng, INPUTS)
    target.is_well()
    now = target.settles(before)
    print(f"{refused} refused; RssAnon {before.rss_anon_bytes >> 10} KiB, then {now.rss_anon_bytes >> 10} KiB")
    assert INPUTS // 20 < refused < INPUTS // 2


CBOR = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=8,
)


@PLAIN
@given(st.sampled_from([op for op in OPERATIONS if op != "component.register"]), st.data())
def test_fields_of_any_type(target: Target, op: str, data: st.DataObject) -> None:
    """Whatever the fields of an operation hold, the answer is a value or a clear error."""
    fields = data.draw(
        st.fixed_dictionaries({}, optional={name: CBOR | st.sampled_from(WORKERS) for name in OPERATIONS[op]})
    )
    with target.wire() as wire:
        wire.send(encode_frame({"id": 1, "op": op, **fields}) + encode_frame({"id": 2, "op": "status"}))
        wanted = {2} if op in MAY_WAIT else {1, 2}
        while wanted:
            message = wire.receive()
            assert message is not None
            if "error" in message:
                check_error(message["error"])
            if "item" not in message:
                wanted.discard(message["id"])


@PLAIN
@given(st.binary(max_size=200))
def test_bytes_of_any_kind(target: Target, data: bytes) -> None:
    """Bytes that are no frames end their connection, with an error if they were enough to tell."""
    with target.wire() as wire:
        wire.send(data)
        wire.end()
        for message in wire.rest():
            check_error(message["error"])


@PLAIN
@given(st.binary(max_size=60))
def test_frames_of_any_kind(target: Target, body: bytes) -> None:
    """A whole frame of any bytes is answered, or refused and its connection ended: it never goes unheard."""
    with target.wire() as wire:
        wire.send(struct.pack(">I", len(body)) + body)
        first = wire.receive()
        assert first is not None
        check_error(first["error"])


def test_lengths_are_believed_only_when_the_bytes_come(target: Target) -> None:
    """Frames announced as large cost nothing before they come; over the limit they are refused at once."""
    before = target.measure()
    with target.wires(150) as wires:
        for wire in wires:
            wire.send(struct.pack(">I", 16 << 20) + b"x" * 1000)
        target.is_well()
        grown_bytes = target.measure().rss_anon_bytes - before.rss_anon_bytes
    assert grown_bytes < 16 << 20
    for length in (2**32 - 1, 2**31, (16 << 20) + 1):
        with target.wire() as one:
            one.send(struct.pack(">I", length))
            (last,) = one.rest()
            assert "over the limit" in last["error"]["message"]


def nested(opener: bytes, depth: int, rest: bytes) -> bytes:
    return opener * depth + rest


@pytest.mark.parametrize(
    "body",
    [
        nested(b"\x81", 100_000, b"\x00"),
        nested(b"\xa1\x00", 100_000, b"\x00"),
        b"\xa1\x61a" + nested(b"\x81", 65, b"\x00"),
        b"\xa1\x61a" + nested(b"\xd9\xd9\xf7", 1000, b"\x00"),
        b"\xa1\x61a\x9b" + b"\xff" * 8,
        b"\xa1\x61a\x5b" + b"\xff" * 8,
        b"\xa1\x61a\x7b\x00\x00\x00\x00\x7f\xff\xff\xff",
        b"\xbb" + b"\xff" * 8,
        b"\xa2\x61a\x00\x61a\x00",
        b"\xbf\x61a\x00\xff",
        b"\xa1\x61\xff\x00",
        b"\xa1\x80\x00",
        b"\xa1\xf9\x7e\x00\x00",
    ],
)
def test_cbor_bombs(target: Target, body: bytes) -> None:
    """Deep nesting, lengths beyond memory, tags, doubles and bad UTF-8 are malformed frames."""
    with target.wire() as wire:
        wire.send(struct.pack(">I", len(body)) + body)
        (last,) = wire.rest()
        assert last["error"]["code"] == "malformed_frame"


def test_large_values(target: Target) -> None:
    """Values of megabytes are taken or refused, and their errors do not repeat them."""
    large = "\u20ac" * (3 << 20)
    with target.wire() as wire:
        for op, names in OPERATIONS.items():
            for name in names:
                if name in ("announce", "all", "send", "params", "args", "data", "message"):
                    continue
                fields = {"worker": "target/w0", "function": "take", "params": b'["x", []]', "send": True}
                given_fields = {key: value for key, value in fields.items() if key in names} | {name: large}
                if op in MAY_WAIT - {"invoke"} and name not in ("worker", "promise", "invocation"):
                    continue
                answer = wire.ask(7, op, **given_fields)
                check_error(answer["error"])
                assert len(answer["error"]["message"]) < 10_000, (op, name)
        answer = wire.ask(8, large)
        assert len(answer["error"]["message"]) < 10_000
        answer = wire.ask(9, "invoke", worker="target/w0", function="take", params=b"[" * (2 << 20))
        check_error(answer["error"])


def test_slow_and_silent_clients_hold_up_nobody(target: Target) -> None:
    """Clients in the middle of a frame, clients that never read and clients that say nothing: others are served."""
    frame = encode_frame({"id": 1, "op": "status"})
    with target.wires(20) as slow, target.wires(8) as deaf, target.wires(20):
        for byte in frame[:-1]:
            for wire in slow:
                wire.send(bytes([byte]))
        for wire in deaf:
            wire.socket.setblocking(False)
            with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                while True:
                    wire.socket.send(encode_frame({"id": 1, "op": "component.list"}) * 50)
        target.is_well()
        for wire in slow:
            wire.send(frame[-1:])
            hello, answer = wire.receive(), wire.receive()
            assert hello is not None
            assert answer is not None
            assert "ok" in answer


def test_more_connections_than_there_may_be(target: Target) -> None:
    """Connections over the limit are told so; the others stay; when they leave there is room again."""
    with target.wires(300) as wires:
        first = [wire.receive() for wire in wires]
        assert all(message is not None for message in first)
        refused = [message for message in first if message is not None and "error" in message]
        assert {message["error"]["code"] for message in refused} == {"limit_reached"}
        assert len(refused) == 300 - 256
        greeted = [wire for wire, message in zip(wires, first, strict=True) if message and "protocol" in message]
        assert "ok" in greeted[0].ask(1, "status")
        assert "ok" in greeted[-1].ask(1, "status")
        for wire in wires:
            wire.end()
            wire.rest()


def test_abandoned_in_the_middle_of_everything(target: Target, rng: random.Random) -> None:
    """Clients that leave with thousands of requests unanswered leave nothing behind."""
    for n in range(20):
        with target.wire() as wire:
            worker = rng.choice(WORKERS)
            burst = [
                {"op": "invoke", "worker": worker, "function": "wait", "key": f"abandoned {n}"},
                {"op": "oplog.follow", "worker": worker},
                {"op": "promise.list", "state": None},
                {"op": "invoke", "worker": f"{worker}-more", "function": "take", "params": b'["", []]'},
            ]
            wire.socket.setblocking(False)
            data = b"".join(encode_frame({"id": 4 * m + k, **burst[k]}) for m in range(300) for k in range(4))
            with suppress(BlockingIOError):
                wire.socket.sendall(data)


def test_ids_of_all_kinds(target: Target) -> None:
    """An id may be any integer that CBOR has without a tag, again and again; anything else ends the connection."""
    for request_id in (0, -1, 2**63, 2**64 - 1, -(2**64)):
        with target.wire() as wire:
            for _ in range(3):
                assert "ok" in wire.ask(request_id, "status")
    for bad in ("1", b"1", 1.0, None, True, [1], {"a": 1}):
        with target.wire() as wire:
            wire.send(encode_frame({"id": bad, "op": "status"}))
            (last,) = wire.rest()
            assert last["error"]["code"] == "malformed_frame"


def test_anything_has_every_type() -> None:
    """The fuzzer itself makes values of every type that a frame can hold."""
    rng = random.Random(1)
    kinds = {type(anything(rng)) for _ in range(1000)}
    assert kinds == {type(None), bool, int, float, str, bytes, list, dict}
