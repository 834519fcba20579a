"""The OpenAPI document: valid, complete, and true to what is registered."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import attrs
import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator

import promissory
from promissory.executor.http.describe.openapi import document
from tests.admin import serving
from tests.executor.http.conftest import Http, Order, client_of


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float
    inner: Circle | Square | None = None


class Colour(enum.Enum):
    RED = "red"


@attrs.define
class Node:
    name: str
    below: list[Node] = attrs.field(factory=list)


class Shapes(promissory.Worker):
    @promissory.handler
    async def draw(self, shape: Circle | Square, colour: Colour = Colour.RED) -> dict[str, Node]:
        return {}

    @promissory.handler
    async def grow(self, node: Node) -> Node:
        return node

    @promissory.query
    def tree(self, depth: int | None = None) -> tuple[Node, int] | None:
        return None


def references(value: Any) -> set[str]:
    """Return every reference in a document."""
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        mapping = (
            value.get("discriminator", {}).get("mapping", {}) if isinstance(value.get("discriminator"), dict) else {}
        )
        return own | set(mapping.values()) | {found for one in value.values() for found in references(one)}
    return {found for one in value for found in references(one)} if isinstance(value, list) else set()


def check(made: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(made).validate()
    for reference in references(made):
        assert reference.removeprefix("#/components/schemas/") in made["components"]["schemas"]
    ids = [
        operation["operationId"]
        for item in made["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


async def test_the_document_is_valid(http: Http) -> None:
    """The document is valid OpenAPI 3.1, and names every handler."""
    made = (await http.get("/openapi.json")).json()
    check(made)
    assert made["openapi"].startswith("3.1")
    assert {"/cart/{worker}/add", "/cart/{worker}/add/send", "/cart/{worker}/all", "/mailer/deliver"} <= set(
        made["paths"]
    )
    assert "get" in made["paths"]["/cart/{worker}/all"]
    assert "requestBody" not in made["paths"]["/cart/{worker}/clear"]["post"]
    assert "content" not in made["paths"]["/cart/{worker}/clear"]["post"]["responses"]["200"]


async def test_any_annotation_has_its_place(tmp_path: Path) -> None:
    """Schemas with tags, unions and recursion are moved among the document's with all that they refer to."""
    async with serving(tmp_path, [Shapes]) as (running, path):
        application = promissory.http.app(path)
        async with client_of(application) as http:
            made = (await http.get("/openapi.json")).json()
            check(made)
            schemas = made["components"]["schemas"]
            assert schemas["shapes.grow.result"]["properties"]["name"] == {"type": "string"}
            body = made["paths"]["/shapes/{worker}/draw"]["post"]["requestBody"]
            assert body["required"] is True
            # What is registered later is there, too.
            running.registry.add([Late], remember=False)
            assert "/late/{worker}/go" in (await http.get("/openapi.json")).json()["paths"]
            assert (await http.post("/late/x/go", json={"order_id": "7", "items": []})).json() == "7"
        application.close()


class Late(promissory.Worker):
    @promissory.handler
    async def go(self, order: Order) -> str:
        return order.order_id


def test_without_components() -> None:
    """The document is valid before anything is registered."""
    check(document([], "/mounted"))
