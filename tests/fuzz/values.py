"""Random values: valid requests, what is nearly one, and bytes bent out of shape."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

import msgspec

OPERATIONS: dict[str, tuple[str, ...]] = {
    "invoke": ("worker", "function", "params", "key", "send", "delay_us", "announce"),
    "query": ("worker", "function", "params"),
    "invocation.attach": ("invocation",),
    "invocation.cancel": ("invocation",),
    "invocation.show": ("invocation",),
    "invocation.list": ("worker", "status", "limit"),
    "promise.await": ("promise",),
    "promise.poll": ("promise",),
    "promise.show": ("promise",),
    "promise.complete": ("promise", "data", "by"),
    "promise.reject": ("promise", "message", "by"),
    "promise.delete": ("promise",),
    "promise.list": ("state", "limit"),
    "worker.create": ("worker", "args", "env"),
    "worker.show": ("worker",),
    "worker.list": ("status", "component", "limit"),
    "worker.delete": ("worker",),
    "worker.interrupt": ("worker",),
    "worker.resume": ("worker", "all"),
    "oplog.read": ("worker", "from", "limit"),
    "oplog.follow": ("worker", "from"),
    "component.register": ("modules", "directory"),
    "component.list": (),
    "status": (),
    "metrics": (),
}
"""The fields of every operation."""

MAY_WAIT = {"invoke", "invocation.attach", "promise.await", "oplog.follow"}
"""Operations that may rightly go unanswered for now."""

WORKERS = [f"target/w{n}" for n in range(6)]


def text(rng: random.Random) -> str:
    """Return some text that CBOR can hold."""
    kind = rng.randrange(6)
    if kind == 0:
        return "".join(rng.choices(string.printable, k=rng.randrange(20)))
    if kind == 1:
        return "".join(chr(rng.choice([0, 7, 0x7F, 0x85, 0x202E, 0xFEFF, 0xFFFF, 0x1F600])) for _ in range(5))
    if kind == 2:
        return rng.choice(string.ascii_letters + "/%\0") * rng.choice([1, 255, 257, 600, 70_000])
    if kind == 3:
        return "/".join(rng.choices(["target", "w0", "..", "", "%2F", "%", "1", "3", "99999999999999999999"], k=3))
    return rng.choice(["", "target/w0", "target/w0/3", "inv_1", "inv_1AAAA", "idle", "pending", "\u0663", "null"])


def number(rng: random.Random) -> int:
    """Return a number that CBOR can hold without a tag."""
    edge = rng.choice([0, 1, 2, 23, 24, 255, 256, 1000, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
    return rng.choice([edge, -edge, -edge - 1 if edge < 2**64 - 1 else 0, rng.randrange(10)])


def anything(rng: random.Random, depth: int = 0) -> Any:
    """Return a value of any type that a frame can hold."""
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.random() < 0.5,
        lambda: number(rng),
        lambda: rng.choice([0.0, -0.0, 1e308, float("inf"), float("nan"), 0.5]),
        lambda: text(rng),
        lambda: rng.randbytes(rng.choice([0, 1, 16, 300])),
        lambda: json(rng),
    ]
    if depth < 4:
        makers.append(lambda: [anything(rng, depth + 1) for _ in range(rng.randrange(4))])
        makers.append(lambda: {text(rng): anything(rng, depth + 1) for _ in range(rng.randrange(4))})
    return rng.choice(makers)()


def json(rng: random.Random) -> bytes:
    """Return arguments as JSON, or what is nearly that."""
    some = msgspec.json.encode(
        rng.choice(
            [
                [],
                {},
                ["text", [1, 2, 3]],
                ["text", [1], {"a": 1.5}],
                {"text": "x", "numbers": []},
                [{"x": 1, "y": 2}],
                {"point": {"x": 2**70}},
                {"point": {"x": 1, "z": 1}},
                ["x"],
                [text(rng)],
                {text(rng): text(rng)},
            ]
        )
    )
    kind = rng.randrange(8)
    if kind == 0:
        return mutated(rng, some)
    if kind == 1:
        depth = rng.choice([10, 500, 5000, 100_000])
        return rng.choice([b"[", b'{"a":', b'["text",[', b"[[[["]) * depth + rng.choice([b"", b"]" * depth])
    if kind == 2:
        return rng.choice(
            [b'["\\ud800", []]', b'["\xff", []]', b"[1e999]", b"[" + b"9" * 5000 + b"]", b"\xef\xbb\xbf[]"]
        )
    return some


def proper(rng: random.Random, name: str, known: dict[str, list[str]]) -> Any:
    """Return a value that fits a field, more often than not."""
    choices: dict[str, Callable[[], Any]] = {
        "worker": lambda: rng.choice(WORKERS),
        "function": lambda: rng.choice(["take", "draw", "wait", "look"]),
        "params": lambda: json(rng),
        "args": lambda: json(rng),
        "key": lambda: rng.choice(["k", "l", "\0", "\U0001f600" * 256]),
        "send": lambda: rng.random() < 0.5,
        "announce": lambda: rng.random() < 0.5,
        "all": lambda: rng.random() < 0.5,
        "delay_us": lambda: rng.choice([0, 1, 1000, 10**15, number(rng)]),
        "invocation": lambda: rng.choice(known["invocation"] or ["inv_1"]),
        "promise": lambda: rng.choice(known["promise"] or ["target/w0/3"]),
        "status": lambda: rng.choice(["idle", "paused", "suspended", "running", "completed", "pending"]),
        "state": lambda: rng.choice(["pending", "resolved", "deleted"]),
        "limit": lambda: rng.choice([0, 1, 5, number(rng)]),
        "from": lambda: rng.choice([0, 1, 3, number(rng)]),
        "data": lambda: rng.randbytes(rng.randrange(50)),
        "message": lambda: text(rng),
        "by": lambda: rng.choice(["me", "you", text(rng)]),
        "env": lambda: {text(rng): text(rng) for _ in range(2)},
        "component": lambda: rng.choice(["target", "none"]),
        "modules": lambda: [rng.choice(["fuzz_workers", "no_such", text(rng)])],
        "directory": lambda: rng.choice(["/", "", text(rng)]),
    }
    return choices[name]()


def request(rng: random.Random, known: dict[str, list[str]]) -> dict[str, Any]:
    """Return a request without an id: mostly nearly right."""
    op = rng.choice(list(OPERATIONS))
    fields: dict[Any, Any] = {"op": op}
    for name in OPERATIONS[op]:
        if rng.random() < 0.85:
            fields[name] = proper(rng, name, known)
    for name in list(fields):
        if rng.random() < 0.12:
            fields[name] = anything(rng)
    if rng.random() < 0.05:
        fields[rng.choice([text(rng), rng.randbytes(3), "id2"])] = anything(rng)
    fields.pop("id", None)
    return fields


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return bytes bent out of shape: flipped, cut, doubled, filled or moved."""
    bent = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(bent) + 1)
        kind = rng.randrange(7)
        if kind == 0 and bent:
            bent[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del bent[at : at + rng.choice([1, 2, 8, 100])]
        elif kind == 2:
            bent[at:at] = rng.randbytes(rng.choice([1, 2, 4, 9]))
        elif kind == 3:
            bent[at:at] = bent[: rng.randrange(len(bent) + 1)]
        elif kind == 4 and bent:
            bent[at - 1] = rng.choice([0x00, 0x1F, 0x5F, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xD8, 0xF7, 0xFB, 0xFF])
        elif kind == 5:
            bent[at : at + 4] = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x01"])
        else:
            bent = bent[at:] + bent[:at]
    return bytes(bent)
