"""Cycles of calls: the search for the stuck against its definition, and every graph of a few workers calls through."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

import promissory
from promissory.executor.hostcalls.cycles import UNREAD, Unread, stuck
from promissory.oplog.errors import CallCycleError

Edges = tuple[tuple[int, ...], ...]
"""The nodes that each node leads to."""

# The search.


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_stuck_is_that_some_set_without_a_free_node_holds_all_its_own_ways_out(size: int) -> None:
    """On every graph, free nodes and unread ones among its nodes, the search agrees with the definition."""
    nodes = range(size)
    sets = [frozenset(s) for n in range(size + 1) for s in itertools.combinations(nodes, n)]
    holding = [s for s in sets if 0 in s]
    unread_sets = sets if size < 4 else [sets[0], sets[-1]]
    for graph in itertools.product([None, *sets], repeat=size):
        expected = any(all(graph[n] is not None and graph[n] <= held for n in held) for held in holding)
        for unread in unread_sets:
            found, read = search(graph, unread)

            assert (found is not None) is expected, graph
            if found is not None:
                assert found[0] == 0
                assert set(found) == reachable(graph, 0)
            elif any(graph[n] is None for n in reachable(graph, 0, unread) - unread):
                assert not read, f"{graph}: {read} were read back in vain"


def search(graph: tuple[frozenset[int] | None, ...], unread: frozenset[int]) -> tuple[list[int] | None, list[int]]:
    """Return what is stuck with node 0, and which nodes were read back to know."""
    read: list[int] = []

    def ways_out(node: int, may_read: bool) -> Iterable[int] | Unread | None:
        if node in unread:
            if not may_read:
                return UNREAD
            read.append(node)
        return graph[node]

    return stuck(0, ways_out), read


def reachable(graph: Any, start: int, walls: frozenset[int] = frozenset()) -> set[int]:
    """Return the nodes that one leads to, itself among them; nothing is known of what lies behind a wall."""
    found, ahead = {start}, [start]
    while ahead:
        at = ahead.pop()
        for way in () if at in walls else graph[at] or ():
            if way not in found:
                found.add(way)
                ahead.append(way)
    return found


# Every graph of workers.


class Node(promissory.Worker):
    """Calls the nodes that a graph says it leads to, whenever it is called."""

    visits: int = 0

    @promissory.handler
    async def visit(self, graph: str, edges: list[list[int]], at: int, how: str) -> list[Any]:
        """Return, for each call that was awaited to its end, the node called and its own list, or "cycle"."""
        self.visits += 1

        async def call(to: int) -> list[Any]:
            try:
                return [to, await promissory.worker(Node, f"{graph}.{to}").visit(graph, edges, to, how)]
            except CallCycleError:
                return [to, "cycle"]

        if how == "one after the other":
            return [await call(to) for to in edges[at]]
        if how == "gather":
            return list(await promissory.gather(*map(call, edges[at])))
        if how == "race" and edges[at]:
            return [(await promissory.race(*map(call, edges[at])))[1]]
        return []


def graphs(size: int, *, loops: bool) -> list[Edges]:
    """Return every directed graph of so many nodes."""
    others = [[n for n in range(size) if loops or n != at] for at in range(size)]
    ways = [[c for n in range(len(o) + 1) for c in itertools.combinations(o, n)] for o in others]
    return list(itertools.product(*ways))


def sorts_of(all_graphs: list[Edges], fixed: int) -> list[Edges]:
    """Return one of each sort of graph: those that differ in the names of nodes only, but for the first, are one."""
    found: dict[Edges, Edges] = {}
    for edges in all_graphs:
        size = len(edges)
        renamings = ((*range(fixed), *rest) for rest in itertools.permutations(range(fixed, size)))
        found.setdefault(min(renamed(edges, names) for names in renamings), edges)
    return list(found.values())


def renamed(edges: Edges, names: tuple[int, ...]) -> Edges:
    """Return a graph with other names for its nodes."""
    found: list[tuple[int, ...]] = [()] * len(edges)
    for at, ways in enumerate(edges):
        found[names[at]] = tuple(sorted(names[to] for to in ways))
    return tuple(found)


def called_one_by_one(edges: Edges, at: int, chain: tuple[int, ...] = ()) -> list[Any]:
    """Return what a lone visit comes to whose calls are made one after the other: only its chain can hold it up."""
    chain = (*chain, at)
    return [[to, "cycle" if to in chain else called_one_by_one(edges, to, chain)] for to in edges[at]]


def cycles_seen(at: int, tree: list[Any]) -> list[tuple[int, int]]:
    """Return the calls in a visit's result that failed, by who called whom."""
    found = []
    for to, inner in tree:
        found += [(at, to)] if inner == "cycle" else cycles_seen(to, inner)
    return found


async def visit_all(durable: Any, all_graphs: list[Edges], how: str, starts: str) -> list[list[list[Any]]]:
    """Visit each graph, each on workers of its own, from node 0 or from all nodes at once; return what it came to."""
    sent = []
    for number, edges in enumerate(all_graphs):
        for at in range(len(edges) if starts == "all" else 1):
            sent.append(await durable.send(f"node/{number}.{at}", "visit", str(number), edges, at, how))
    ended = iter([await durable.attach(invocation) for invocation in sent])
    return [[next(ended) for _ in range(len(edges) if starts == "all" else 1)] for edges in all_graphs]


@pytest.mark.parametrize("starts", ["one", "all"])
@pytest.mark.parametrize("how", ["one after the other", "gather", "race"])
@pytest.mark.parametrize(("size", "loops"), [(1, True), (2, True), (3, True), (4, False)])
async def test_every_graph_of_calls_ends(
    durable: Any, pytestconfig: Any, size: int, loops: bool, how: str, starts: str
) -> None:
    """Whoever calls whom, nobody waits for ever; only calls that lead back to their caller fail, one at least."""
    durable.register(Node)
    all_graphs = graphs(size, loops=loops)
    if starts == "one":
        all_graphs = [edges for edges in all_graphs if len(reachable(edges, 0)) == size]
    if not pytestconfig.getoption("--soak"):
        all_graphs = sorts_of(all_graphs, fixed=1 if starts == "one" else 0)

    for edges, trees in zip(all_graphs, await visit_all(durable, all_graphs, how, starts), strict=True):
        starting = range(len(trees))
        reached = {at for start in starting for at in reachable(edges, start)}
        is_cyclic = any(at in reachable(edges, to) for at in reached for to in edges[at])
        failed = [call for at, tree in enumerate(trees) for call in cycles_seen(at, tree)]
        assert all(at in reachable(edges, to) for at, to in failed), edges
        if how != "race":
            assert bool(failed) == is_cyclic, edges
        if how == "one after the other" and starts == "one":
            assert trees == [called_one_by_one(edges, 0)]
