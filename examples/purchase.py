"""An order that somebody decides on a web page: the worker sends a link that carries an awakeable, and waits.

`promissory serve examples.purchase` runs it; `examples.approval_page` is the page that the link leads to.
"""

from __future__ import annotations

import os

from attrs import define

import promissory
from examples.approval import Order, ask_for_approval
from promissory import TerminalError


@define
class Decision:
    approved: bool
    by: str
    note: str = ""


def send_link(order: Order, awakeable: str) -> str:
    """Tell the approver where to decide; whoever has the link may, so a real one would send it to nobody else."""
    page = os.environ.get("APPROVAL_PAGE", "http://127.0.0.1:8000")
    return ask_for_approval(order, f"{page}/approve/{awakeable}")


class Purchase(promissory.Worker):
    order: Order | None = None
    awakeable: str = ""

    @promissory.handler
    async def submit(self, order: Order) -> str:
        if self.order is not None:
            raise TerminalError(f"{self.order.order_id} was submitted already", 409)
        self.order = order
        self.awakeable, decision = promissory.awakeable(Decision)
        await promissory.run(send_link, order, self.awakeable)
        decided = await decision
        verdict = "approved" if decided.approved else "rejected"
        return f"{order.order_id}: {verdict} by {decided.by}" + (f" ({decided.note})" if decided.note else "")

    @promissory.query
    def order_behind(self, awakeable: str) -> Order | None:
        """Return the order that an awakeable decides."""
        return self.order if awakeable == self.awakeable else None
