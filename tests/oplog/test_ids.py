"""Names that last: text forms round-trip, and only what formatting gives is accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import ids
from promissory.oplog.errors import BadArguments
from promissory.oplog.ids import (
    DURABLE_PROMISE,
    INDEX_MAX,
    AwakeableId,
    ComponentId,
    InvocationId,
    OplogIndex,
    PromiseId,
    WorkerId,
)

WORKER = WorkerId(ids.component_id("approval"), "order-7")
SEED = bytes(range(32))
AWAKEABLE = str(AwakeableId.of(SEED, WORKER, OplogIndex(3)))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_component_id_is_the_same_everywhere() -> None:
    """A component's id is the UUIDv5 of its name and stays what it was."""
    assert uuid.UUID(bytes=ids.component_id("approval")) == uuid.uuid5(
        uuid.NAMESPACE_URL, "promissory:component:approval"
    )
    assert ids.component_id("approval").hex() == "061fee0c98fe5d339c478ba82899f876"


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("PurchaseHistory", "purchase-history"),
        ("HTTPServer", "http-server"),
        ("Cart", "cart"),
        ("Order2Go", "order2-go"),
        ("MyHTTP", "my-http"),
        ("snake_case", "snake-case"),
        ("A", "a"),
    ],
)
def test_kebab_case(class_name: str, expected: str) -> None:
    """A class's name becomes a valid component name, acronyms kept together."""
    assert ids.kebab_case(class_name) == expected
    assert ids.check_component_name(expected) == expected


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a/b", "a" * 65, "a\n", "é", "a."])
def test_bad_component_names_are_refused(name: str) -> None:
    """A component name outside [a-z0-9][a-z0-9-]{0,63} is refused."""
    with pytest.raises(BadArguments):
        ids.check_component_name(name)


@pytest.mark.parametrize("name", ["", "a\x00", "\x1f", "a\x7fb", "a\x85", "\n", "x" * 257, "é" * 129, "\ud800"])
def test_bad_worker_names_are_refused(name: str) -> None:
    """A worker name that is empty, over 256 bytes of UTF-8, no Unicode, or holds a control character is refused."""
    with pytest.raises(BadArguments):
        ids.check_worker_name(name)


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, " ", "a/b%", "日本", "\u2028"])
def test_good_worker_names_are_kept(name: str) -> None:
    """Any other name is a worker's name, as it is."""
    assert ids.check_worker_name(name) == name


@given(st.text())
def test_escaping_comes_back(name: str) -> None:
    """Escaping leaves no slash and unescaping gives the name back."""
    escaped = ids.escape(name)

    assert "/" not in escaped
    assert ids.unescape(escaped) == name


@given(st.text(st.sampled_from("%/25Ffa"), max_size=8))
def test_unescaping_is_strict(segment: str) -> None:
    """Whatever is accepted as an escaped name is what escaping writes."""
    try:
        name = ids.unescape(segment)
    except BadArguments:
        return
    assert ids.escape(name) == segment


@given(data=st.data(), index=st.integers(1, INDEX_MAX))
def test_promise_and_invocation_ids_come_back(
    any_worker_id: st.SearchStrategy[WorkerId], data: st.DataObject, index: int
) -> None:
    """The text of a promise or an invocation names it and nothing else."""
    worker_id = data.draw(any_worker_id)
    promise = PromiseId(worker_id, OplogIndex(index))
    invocation = InvocationId(worker_id, OplogIndex(index))

    assert PromiseId.parse(str(promise)) == promise
    assert InvocationId.parse(str(invocation)) == invocation
    assert ids.split_worker(str(worker_id)) == (str(worker_id).partition("/")[0], worker_id.worker_name)
    assert ids.resolve_component(str(worker_id).partition("/")[0]) == worker_id.component_id


@given(st.text(st.sampled_from("approval/-07%2F8é ٣"), max_size=16))
def test_parsing_promises_is_strict(text: str) -> None:
    """Whatever is accepted as a promise is what formatting gives back."""
    try:
        component, name, index = ids.split_promise(text)
    except BadArguments:
        return
    assert f"{component}/{ids.escape(name)}/{index}" == text


@pytest.mark.parametrize(
    "text",
    [
        "approval/order-7",
        "approval//3",
        "approval/order-7/0",
        "approval/order-7/03",
        "approval/order-7/+3",
        "approval/order-7/٣",
        "approval/order-7/9223372036854775808",
        "approval/order-7/" + "9" * 5000,
        "approval/a/b/3",
        "approval/a%2f/3",
        "Approval/a/3",
        "/a/3",
        "",
    ],
)
def test_bad_promises_are_refused(text: str) -> None:
    """A promise's text with any part out of form or limits is refused."""
    with pytest.raises(BadArguments):
        ids.split_promise(text)


def test_promise_id_takes_components_by_id_only() -> None:
    """`PromiseId.parse` reads what `str` gives: the component by its id."""
    with pytest.raises(BadArguments, match="not an id"):
        PromiseId.parse("approval/order-7/3")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "=",
        lambda text: text + "A",
        lambda text: text[:-1],
        lambda text: text[:5] + "!" + text[6:],
        lambda text: text.replace("inv_1", "inv_2"),
        lambda text: text[:5],
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + "é",
    ],
)
def test_bad_invocations_are_refused(change: object) -> None:
    """An invocation's text that formatting would not give is refused."""
    text = str(InvocationId(WorkerId(WORKER.component_id, "x\u00e9"), OplogIndex(2)))

    with pytest.raises(BadArguments):
        InvocationId.parse(change(text))  # type: ignore[operator]


@pytest.mark.parametrize(("index", "name"), [(0, "a"), (2**63, "a"), (1, ""), (1, "\n")])
def test_invocations_out_of_limits_are_refused(index: int, name: str) -> None:
    """Well-formed base64url of an impossible index or name is no invocation."""
    forged = str(InvocationId(WorkerId(ComponentId(bytes(16)), name), OplogIndex(index)))

    with pytest.raises(BadArguments):
        InvocationId.parse(forged)


def test_awakeable_ids_stay_what_they_are() -> None:
    """An id that was given out is good for ever: its parts and its key never change."""
    key = hmac.new(SEED, b"promissory:awakeable", hashlib.sha256).digest()
    named = WORKER.component_id + (3).to_bytes(8, "big") + b"order-7"
    mac = hmac.new(key, named, hashlib.sha256).digest()[:16]

    assert "prom_1" + base64.urlsafe_b64encode(named + mac).decode().rstrip("=") == AWAKEABLE
    assert AWAKEABLE == "prom_1Bh_uDJj-XTOcR4uoKJn4dgAAAAAAAAADb3JkZXItN42P0DHM1ATxOHe1SfY2A5w"
    assert ids.DURABLE_PROMISE == ids.component_id("durable-promise") == DURABLE_PROMISE


@given(data=st.data(), index=st.integers(1, INDEX_MAX), seed=st.binary(min_size=32, max_size=32))
def test_awakeable_ids_come_back(
    any_worker_id: st.SearchStrategy[WorkerId], data: st.DataObject, index: int, seed: bytes
) -> None:
    """The text of an awakeable names one promise, and only the seed it was made with vouches for it."""
    worker_id = data.draw(any_worker_id)
    made = AwakeableId.of(seed, worker_id, OplogIndex(index))
    found = AwakeableId.parse(str(made))

    assert found == made
    assert found.promise == PromiseId(worker_id, OplogIndex(index))
    assert found.is_genuine(seed)
    assert not found.is_genuine(bytes([seed[0] ^ 1]) + seed[1:])


@given(data=st.data())
def test_an_awakeable_id_with_one_character_changed_is_refused(
    any_worker_id: st.SearchStrategy[WorkerId], data: st.DataObject
) -> None:
    """Whatever the character becomes, what is left is no id, or one that no seed of its worker vouches for."""
    text = str(AwakeableId.of(SEED, data.draw(any_worker_id), OplogIndex(data.draw(st.integers(1, INDEX_MAX)))))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw((st.sampled_from(ALPHABET) | st.characters()).filter(lambda character: character != text[at]))

    assert not is_accepted(text[:at] + other + text[at + 1 :])


def test_no_change_of_a_character_passes() -> None:
    """Every other character of the alphabet in every place, one too few and one too many: none is accepted."""
    changed = {AWAKEABLE[:at] + other + AWAKEABLE[at + 1 :] for at in range(len(AWAKEABLE)) for other in ALPHABET}
    shorter = {AWAKEABLE[:at] + AWAKEABLE[at + 1 :] for at in range(len(AWAKEABLE))}
    longer = {AWAKEABLE[:at] + other + AWAKEABLE[at:] for at in range(len(AWAKEABLE) + 1) for other in ALPHABET}

    accepted = {text for text in changed | shorter | longer if is_accepted(text)}

    assert accepted == {AWAKEABLE}


@given(data=st.data())
def test_an_awakeable_id_is_useless_for_another_promise(
    any_worker_id: st.SearchStrategy[WorkerId], data: st.DataObject
) -> None:
    """The proof of one promise vouches for no other: of the same worker, of another, of another component."""
    worker_ids = st.just(WORKER) | any_worker_id
    first, second = (
        AwakeableId.of(SEED, data.draw(worker_ids), OplogIndex(data.draw(st.integers(1, INDEX_MAX)))) for _ in range(2)
    )
    forged = AwakeableId(second.worker_id, second.oplog_idx, first.mac)

    assert forged.is_genuine(SEED) == (first == second)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prom_1",
        "prom_2" + AWAKEABLE[6:],
        "PROM_1" + AWAKEABLE[6:],
        AWAKEABLE[6:],
        AWAKEABLE + "=",
        " " + AWAKEABLE,
        AWAKEABLE + "\n",
        AWAKEABLE.replace("_u", "/u"),
        "prom_1" + "A" * 395,
        "prom_1" + "A" * 100_000,
        "prom_1é",
        "prom_1" + base64.urlsafe_b64encode(bytes(16) + bytes(7) + b"\1" + bytes(16)).decode().rstrip("="),
        "prom_1" + base64.urlsafe_b64encode(bytes(16) + bytes(8) + b"a" + bytes(16)).decode().rstrip("="),
        str(InvocationId(WORKER, OplogIndex(3))),
        str(PromiseId(WORKER, OplogIndex(3))),
    ],
)
def test_bad_awakeable_ids_are_refused(text: str) -> None:
    """Whatever is no awakeable id is refused in a short message that says so."""
    with pytest.raises(BadArguments, match="bad awakeable id") as caught:
        AwakeableId.parse(text)

    assert len(str(caught.value)) < 600


@given(st.text(st.sampled_from("prom_1Bhu-A="), max_size=60) | st.text())
def test_parsing_awakeable_ids_is_strict(text: str) -> None:
    """Whatever is accepted as an awakeable id is what formatting gives back."""
    for attempt in (text, "prom_1" + text):
        try:
            found = AwakeableId.parse(attempt)
        except BadArguments:
            continue
        assert str(found) == attempt


def is_accepted(text: str) -> bool:
    """Whether a text is an awakeable id that the seed vouches for."""
    try:
        return AwakeableId.parse(text).is_genuine(SEED)
    except BadArguments:
        return False
