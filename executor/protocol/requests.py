"""The fields of each operation of the admin socket, checked before anything else looks at them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from promissory.oplog.errors import BadArguments
from promissory.oplog.ids import INDEX_MAX

LIMIT_DEFAULT = 1_000
"""How many rows a list gives unless it is asked for more."""

Integer: TypeAlias = Annotated[int, msgspec.Meta(ge=-INDEX_MAX, le=INDEX_MAX)]
"""A frame may hold larger ones."""

S = TypeVar("S", bound=msgspec.Struct)


class Invoke(msgspec.Struct, forbid_unknown_fields=True):
    """Call a handler or query; `delay_us` and `send` are for handlers.

    `worker` is COMPONENT/NAME, or COMPONENT alone for an ephemeral one.
    """

    worker: str
    function: str
    params: bytes = b"[]"
    key: str | None = None
    send: bool = False
    delay_us: Integer | None = None
    announce: bool = False


class Query(msgspec.Struct, forbid_unknown_fields=True):
    """Ask a query."""

    worker: str
    function: str
    params: bytes = b"[]"


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """One invocation, by its id."""

    invocation: str


class Find(msgspec.Struct, forbid_unknown_fields=True):
    """The invocation that an idempotency key stands for."""

    worker: str
    function: str
    key: str


class Invocations(msgspec.Struct, forbid_unknown_fields=True):
    """Invocations of one worker or of all."""

    worker: str | None = None
    status: str | None = None
    limit: int = LIMIT_DEFAULT


class Promise(msgspec.Struct, forbid_unknown_fields=True):
    """One promise, as COMPONENT/NAME/INDEX, an awakeable id, or name:NAME."""

    promise: str


class Complete(msgspec.Struct, forbid_unknown_fields=True):
    """Settle a promise with a payload; asking again under the same `by` gives the same answer."""

    promise: str
    data: bytes
    by: str | None = None


class Reject(msgspec.Struct, forbid_unknown_fields=True):
    """Settle a promise with a reason."""

    promise: str
    message: str
    by: str | None = None


class Promises(msgspec.Struct, forbid_unknown_fields=True):
    """Promises in a state, None is all, of a component; those after one, if given."""

    state: str | None = "pending"
    component: str | None = None
    after: str | None = None
    limit: int = LIMIT_DEFAULT


class Create(msgspec.Struct, forbid_unknown_fields=True):
    """Create a worker; `args` is a JSON array or object."""

    worker: str
    args: bytes = b"[]"
    env: dict[str, str] = {}


class Worker(msgspec.Struct, forbid_unknown_fields=True):
    """One worker, as COMPONENT/NAME."""

    worker: str


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """Resume one worker, or all that are paused."""

    worker: str | None = None
    all: bool = False


class Workers(msgspec.Struct, forbid_unknown_fields=True):
    """Workers with a status, of a component, whose names begin with `name`; those after one, if given."""

    status: str | None = None
    component: str | None = None
    name: str | None = None
    after: str | None = None
    limit: int = LIMIT_DEFAULT


class Oplog(msgspec.Struct, forbid_unknown_fields=True, rename={"first": "from"}):
    """Entries of a worker from an index on."""

    worker: str
    first: Integer = 1
    limit: int | None = None


class Register(msgspec.Struct, forbid_unknown_fields=True):
    """`MODULE[:CLASS]`s to import from a directory."""

    modules: list[str]
    directory: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An operation without fields."""


def convert(fields: dict[str, Any], shape: type[S]) -> S:
    """Check a request's fields.

    Raises:
      BadArguments: one is missing, unknown or of another type; the message has its path.
    """
    try:
        return msgspec.convert(fields, shape)
    except msgspec.ValidationError as error:
        raise BadArguments(f"request: {error}") from None
