"""An order that waits for somebody's approval: a promise, a side effect, and a decision that may take a month."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import define, field

import promissory


@define
class Order:
    order_id: str
    item: str
    quantity: int = 1


def ask_for_approval(order: Order, promise: str) -> str:
    """Tell the approver; here: append one line to a file. A real one would send a mail with `promise` in it."""
    outbox = Path(os.environ.get("APPROVAL_OUTBOX", "approval-outbox.txt"))
    with outbox.open("a") as out:
        out.write(f"please approve {order.order_id} ({order.quantity} x {order.item}): {promise}\n")
    return f"asked for {order.order_id}"


class Approval(promissory.Worker):
    approved: list[str] = field(factory=list)

    @promissory.handler
    async def submit(self, order: Order) -> str:
        promise_id = promissory.create_promise()
        await promissory.run(ask_for_approval, order, str(promise_id))
        decision = (await promissory.await_promise(promise_id)).decode()
        if decision == "yes":
            self.approved.append(order.order_id)
        return f"{order.order_id}: {decision}"

    @promissory.query
    def list_approved(self) -> list[str]:
        return self.approved
