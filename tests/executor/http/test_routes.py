"""Which paths are whose: routes of our own, and components that could stand in their way."""

from __future__ import annotations

import re

from promissory.executor.http import gateway
from promissory.workers.component import RESERVED_COMPONENTS

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
UNROUTED = {"durable-promise", "openapi"}
"""Reserved though no path begins so: the built-in component, and the document's name without its ending."""


def test_no_component_stands_in_the_way_of_a_route() -> None:
    """Every first segment of a route that could be a component's name is reserved, and nothing else is."""
    routed = {segment for segment in gateway._ROUTED if NAME.fullmatch(segment)}

    assert routed | UNROUTED == RESERVED_COMPONENTS


def test_every_route_is_one_that_the_door_hands_on() -> None:
    """The first segment of each route is among those that the door takes for no component."""
    application = gateway.Gateway(gateway.Path("nowhere"), None, (), 1, 1)

    assert {route.path.split("/")[1] for route in application.routes} == set(gateway._ROUTED)  # type: ignore[attr-defined]
