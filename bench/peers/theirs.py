"""The work of `bench.peers.ours`, written for Restate's Python SDK as its documentation writes such handlers."""

# mypy: ignore-errors
# What it imports is installed in an environment of its own.

from __future__ import annotations

import os
import socket

import restate
from restate import ObjectContext

_outbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

counter = restate.VirtualObject("counter")
clerk = restate.VirtualObject("clerk")
stepper = restate.VirtualObject("stepper")
approval = restate.VirtualObject("approval")


async def one() -> int:
    return 1


async def announce(note: str) -> None:
    _outbox.sendto(note.encode(), os.environ["BENCH_MAILBOX"])


@counter.handler()
async def add(ctx: ObjectContext, number: int) -> int:
    total = (await ctx.get("total", type_hint=int) or 0) + number
    ctx.set("total", total)
    return total


@clerk.handler()
async def call(ctx: ObjectContext, name: str) -> int:
    return await ctx.object_call(add, key=name, arg=1)


@stepper.handler()
async def steps(ctx: ObjectContext, count: int) -> int:
    total = 0
    for _ in range(count):
        total += await ctx.run_typed("one", one)
    return total


@approval.handler()
async def ask(ctx: ObjectContext, tag: str) -> str:
    awakeable, answer = ctx.awakeable(type_hint=str)
    await ctx.run_typed("announce", announce, note=f"{tag} {awakeable}")
    return await answer


app = restate.app(services=[counter, clerk, stepper, approval])
