"""`promissory invoke`: call a handler and wait, or send it on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_json, print_line, print_result
from promissory.executor.cli.session import request, wait
from promissory.oplog.errors import Paused

if TYPE_CHECKING:
    from promissory.executor.client import Client


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    # A negative number is an argument, not an option.
    app.command(context_settings={"ignore_unknown_options": True})(invoke)


def invoke(
    worker: options.Target,
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="A handler or a query.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="JSON", help="Its arguments; strings as '\"text\"'.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="K", help="Idempotency key: one key, one execution.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Do not wait for the result; print the invocation.")] = False,
    delay: Annotated[
        float | None, typer.Option("--delay", min=0, metavar="SECONDS", help="Call it that much later.")
    ] = None,
    timeout: options.Timeout = None,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Call a handler of a worker, or a query, and print its result.

    The invocation is durable before anything is printed, and goes on when the command stops waiting.
    """
    fields: dict[str, Any] = {"worker": worker, "function": function, "params": options.json_array(arguments or [])}
    if key is not None:
        fields["key"] = key
    if delay is not None:
        fields["delay_us"] = round(delay * 1_000_000)
    path = options.socket_path(data, socket)
    if send:
        sent = request(path, "invoke", send=True, **fields)["invocation"]
        if as_json:
            print_json({"invocation": sent})
        else:
            print_line(sent)
        return
    announced: list[str] = []

    def goes_on() -> str:
        if announced:
            return f"the invocation goes on: {announced[0]}"
        return "whether the invocation was accepted is not known"

    async def call(client: Client) -> bytes:
        from promissory.executor.client import Disconnected

        def announce(item: dict[str, Any]) -> None:
            announced.append(item["invocation"])

        try:
            answer = await client.request("invoke", on_item=announce, announce=True, **fields)
        except Disconnected as exc:
            raise Disconnected(f"{exc}; {goes_on()}") from exc
        except Paused as exc:
            raise Paused(f"{exc}; {goes_on()}" if announced else str(exc), worker=exc.worker) from exc
        return bytes(answer["result"])

    print_result(wait(path, call, timeout=timeout, goes_on=goes_on), as_json=as_json)
