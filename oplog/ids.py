"""Names of things that last: components, workers, oplog indices, promises, awakeables, invocations.

Text forms are those of the command line: `COMPONENT/NAME` with `/` and `%` of a worker's name percent-encoded,
`COMPONENT/NAME/INDEX` for a promise, `prom_1…` for an awakeable, `inv_1…` for an invocation. Parsing is strict:
whatever is accepted is what formatting gives back.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import re
import uuid
from typing import Annotated, NewType

import attrs
import msgspec

from promissory.oplog.errors import BadArguments

OplogIndex = NewType("OplogIndex", int)
"""Where an entry stands in its worker's oplog: 1-based and dense; `NONE` is before the first."""

NONE = OplogIndex(0)
INDEX_MAX = 2**63 - 1
WORKER_NAME_BYTES_MAX = 256

AWAKEABLE_PREFIX = "prom_1"
NAME_SCHEME = "name:"
WORKER_SCHEME = "worker://"
"""How texts begin that name an awakeable, a durable promise, and a worker as a URI."""

_COMPONENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ESCAPES = re.compile(r"%(2F|25)?")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

ComponentId = NewType("ComponentId", bytes)
"""The 16 bytes of a component's UUID: the same for one name on every machine."""


@functools.lru_cache(maxsize=4096)
def component_id(name: str) -> ComponentId:
    """Return UUIDv5(NAMESPACE_URL, "promissory:component:" + name) as bytes."""
    return ComponentId(uuid.uuid5(uuid.NAMESPACE_URL, "promissory:component:" + name).bytes)


DURABLE_PROMISE = component_id("durable-promise")
"""The component whose workers are the durable promises: each has no code, its name is the promise's."""


def check_component_name(name: str) -> str:
    """Return the name if it matches `[a-z0-9][a-z0-9-]{0,63}`.

    Raises:
      BadArguments: it does not.
    """
    if not _COMPONENT_NAME.fullmatch(name):
        raise BadArguments(f"component name {name!r} does not match [a-z0-9][a-z0-9-]{{0,63}}")
    return name


def kebab_case(class_name: str) -> str:
    """Turn a class's name into a component's: `PurchaseHistory` → `purchase-history`, `HTTPServer` → `http-server`."""
    return _WORD_START.sub("-", class_name).replace("_", "-").strip("-").lower()


def check_worker_name(name: str) -> str:
    """Return the name if it has 1 to 256 bytes of UTF-8 and no control characters.

    Raises:
      BadArguments: it does not.
    """
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise BadArguments(f"worker name {name!r} is not valid Unicode") from None
    if not name:
        raise BadArguments("the worker's name is empty")
    if size_bytes > WORKER_NAME_BYTES_MAX:
        raise BadArguments(f"worker name has {size_bytes} bytes of UTF-8, the limit is {WORKER_NAME_BYTES_MAX}")
    if not name.isprintable() and any(ch < " " or "\x7f" <= ch <= "\x9f" for ch in name):
        raise BadArguments(f"worker name {name!r} holds a control character")
    return name


class WorkerId(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, cache_hash=True):
    """One named instance of a component."""

    component_id: Annotated[ComponentId, msgspec.Meta(min_length=16, max_length=16)]
    worker_name: str

    def __str__(self) -> str:
        return f"{uuid.UUID(bytes=self.component_id)}/{escape(self.worker_name)}"


@attrs.frozen
class PromiseId:
    """A promise, for ever: its owner and the index of the `Started` that created it."""

    worker_id: WorkerId
    oplog_idx: OplogIndex

    def __str__(self) -> str:
        return f"{self.worker_id}/{self.oplog_idx}"

    @classmethod
    def parse(cls, text: str) -> PromiseId:
        """Read what `str` gives (the component by its id).

        Raises:
          BadArguments: the text is not of the form COMPONENT-ID/NAME/INDEX.
        """
        component, name, index = split_promise(text)
        if not _UUID.fullmatch(component):
            raise BadArguments(f"promise {text!r} names its component by {component!r}, which is not an id")
        return cls(WorkerId(ComponentId(uuid.UUID(component).bytes), name), index)


@attrs.frozen
class AwakeableId:
    """A promise, and the proof that its holder was given it: who has it may settle that one promise."""

    worker_id: WorkerId
    oplog_idx: OplogIndex
    mac: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, seed: bytes, worker_id: WorkerId, oplog_idx: OplogIndex) -> AwakeableId:
        """Return the id of a worker's promise; the seed is that in the `Created` of the worker's life."""
        return cls(worker_id, oplog_idx, _mac(seed, worker_id, oplog_idx))

    def is_genuine(self, seed: bytes) -> bool:
        """Whether it was made with this seed, in a time that tells nothing of how wrong it is."""
        return hmac.compare_digest(self.mac, _mac(seed, self.worker_id, self.oplog_idx))

    @property
    def promise(self) -> PromiseId:
        """The promise that it is for."""
        return PromiseId(self.worker_id, self.oplog_idx)

    def __str__(self) -> str:
        return AWAKEABLE_PREFIX + _base64(_named(self.worker_id, self.oplog_idx) + self.mac)

    @classmethod
    def parse(cls, text: str) -> AwakeableId:
        """Read what `str` gives; whether it is genuine, only the worker's seed can tell.

        Raises:
          BadArguments: it is not an awakeable id; the message says why.
        """
        if not text.startswith(AWAKEABLE_PREFIX):
            raise _bad_awakeable(text, f"it does not begin with {AWAKEABLE_PREFIX}")
        if len(text) > _AWAKEABLE_CHARS_MAX:
            raise _bad_awakeable(text, f"it has {len(text)} characters, the limit is {_AWAKEABLE_CHARS_MAX}")
        try:
            raw = _from_base64(text[len(AWAKEABLE_PREFIX) :])
            found = cls(*_read_named(raw[:-_MAC_BYTES]), raw[-_MAC_BYTES:])
            if str(found) != text:
                raise ValueError
        except (ValueError, BadArguments):
            raise _bad_awakeable(text, "it was cut, mistyped or never given out") from None
        return found


@attrs.frozen
class InvocationId:
    """An invocation: its worker and the index of its `Invoked`."""

    worker_id: WorkerId
    oplog_idx: OplogIndex

    def __str__(self) -> str:
        return _INVOCATION + _base64(_named(self.worker_id, self.oplog_idx))

    @classmethod
    def parse(cls, text: str) -> InvocationId:
        """Read what `str` gives.

        Raises:
          BadArguments: it is not an invocation's id.
        """
        try:
            if not text.startswith(_INVOCATION):
                raise ValueError
            found = cls(*_read_named(_from_base64(text[len(_INVOCATION) :])))
            if str(found) != text:
                raise ValueError
        except (ValueError, BadArguments):
            raise BadArguments(f"{text!r} is not an invocation id") from None
        return found


_INVOCATION = "inv_1"
_MAC_BYTES = 16
_AWAKEABLE_CHARS_MAX = len(AWAKEABLE_PREFIX) + (16 + 8 + WORKER_NAME_BYTES_MAX + _MAC_BYTES) * 4 // 3 + 1


def _named(worker_id: WorkerId, oplog_idx: OplogIndex) -> bytes:
    return worker_id.component_id + oplog_idx.to_bytes(8, "big") + worker_id.worker_name.encode()


def _read_named(raw: bytes) -> tuple[WorkerId, OplogIndex]:
    worker_id = WorkerId(ComponentId(raw[:16]), check_worker_name(raw[24:].decode()))
    return worker_id, _index(int.from_bytes(raw[16:24], "big"))


def _base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()


def _from_base64(text: str) -> bytes:
    body = text.encode("ascii")
    return base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)


def _mac(seed: bytes, worker_id: WorkerId, oplog_idx: OplogIndex) -> bytes:
    return hmac.digest(_awakeable_key(seed), _named(worker_id, oplog_idx), "sha256")[:_MAC_BYTES]


@functools.lru_cache(maxsize=4096)
def _awakeable_key(seed: bytes) -> bytes:
    return hmac.digest(seed, b"promissory:awakeable", "sha256")


def _bad_awakeable(text: str, reason: str) -> BadArguments:
    shown = text if len(text) <= _AWAKEABLE_CHARS_MAX else f"{text[:64]}…"
    return BadArguments(f"bad awakeable id {shown!r}: {reason}")


def escape(name: str) -> str:
    """Percent-encode `%` and `/` of a worker's name, for use in a path."""
    return name.replace("%", "%25").replace("/", "%2F")


def unescape(segment: str) -> str:
    """Undo `escape`.

    Raises:
      BadArguments: the segment holds a `/` or a `%` that `escape` would not have written.
    """
    if "/" in segment or any(not m[1] for m in _ESCAPES.finditer(segment)):
        raise BadArguments(f"{segment!r}: within a worker name write '/' as %2F and '%' as %25")
    return segment.replace("%2F", "/").replace("%25", "%")


def split_worker(text: str) -> tuple[str, str]:
    """Split COMPONENT/NAME into the component (a name or an id, not looked up) and the worker's name.

    Raises:
      BadArguments: the text has another form or a part that is out of limits.
    """
    component, slash, name = text.partition("/")
    if not slash:
        raise BadArguments(f"{text!r} is not of the form COMPONENT/NAME")
    return check_component(component), check_worker_name(unescape(name))


def split_promise(text: str) -> tuple[str, str, OplogIndex]:
    """Split COMPONENT/NAME/INDEX.

    Raises:
      BadArguments: the text has another form or a part that is out of limits.
    """
    worker, slash, index = text.rpartition("/")
    if not slash or not index.isascii() or not index.isdigit() or str(int(index[:20])) != index:
        raise BadArguments(f"{text!r} is not of the form COMPONENT/NAME/INDEX")
    component, name = split_worker(worker)
    return component, name, _index(int(index))


def check_component(text: str) -> str:
    """Return the text if it is a component's name or id.

    Raises:
      BadArguments: it is neither.
    """
    return text if _UUID.fullmatch(text) else check_component_name(text)


def resolve_component(text: str) -> ComponentId:
    """Return the id of a component given by name or id."""
    return ComponentId(uuid.UUID(text).bytes) if _UUID.fullmatch(text) else component_id(text)


def _index(value: int) -> OplogIndex:
    if not 1 <= value <= INDEX_MAX:
        raise BadArguments(f"index {value} is out of range")
    return OplogIndex(value)
