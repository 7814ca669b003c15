"""What holds behind nginx: whose pages are let in, who is let go of, and which connections are used again.

SERVER_DIRECT names the server itself, whose metrics tell what has reached it; the argument is where nginx listens.
"""

import asyncio
import os
import re
import time

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from checks import WAIT_SECONDS_MAX, check, fresh_group, main, publish_body
from httpx_client import client


async def metric(name, label):
    """The sum of the series `name` that have the label's value, as the server tells it."""
    async with client(os.environ["SERVER_DIRECT"]) as direct:
        text = (await direct.get("/metrics")).text
    return int(sum(map(float, re.findall(rf'^{name}{{[^}}]*="{label}"[^}}]*}} (\S+)$', text, re.MULTILINE))))


async def until(name, label, value):
    end = time.monotonic() + WAIT_SECONDS_MAX
    while (seen := await metric(name, label)) != value:
        assert time.monotonic() < end, f"{name} of {label} is {seen}, not {value}"


@check("a page of the host that nginx answers for is let in, by http and https, and a page of another is not")
async def origins(server):
    target = fresh_group()
    async with httpx.AsyncClient(trust_env=False) as http:
        for origin, status in ((f"http://{server}", 200), (f"https://{server}", 200), ("http://elsewhere.example", 403)):
            answer = await http.post(
                f"http://{server}/cur/{target}", content=publish_body(1, 2), headers={"Origin": origin})
            assert answer.status_code == status, f"{origin}: {answer.status_code}"
            try:
                async with connect(f"ws://{server}/ws/{target}", proxy=None, origin=origin):
                    assert status == 200, f"{origin}: the upgrade was let in"
            except InvalidStatus as refusal:
                assert refusal.response.status_code == status, f"{origin}: {refusal}"


@check("a client that goes is let go of: a long poll, an event stream, a WebSocket")
async def vanished(server):
    group = fresh_group()
    for transport in ("long_poll", "sse"):
        target = {"long_poll": f"/location/long/{group}?timeout=60000", "sse": f"/location/sse/{group}"}[transport]
        async with client(server) as http:
            asking = asyncio.create_task(http.get(target))
            await until("geoloop_parked", transport, 1)
            asking.cancel()
        await until("geoloop_parked", transport, 0)
    async with connect(f"ws://{server}/ws/{group}", proxy=None):
        await until("geoloop_connections", "websocket", 1)
    await until("geoloop_connections", "websocket", 0)


@check("requests one behind the other share connections to the server")
async def reuse(server):
    before = await metric("geoloop_connections_total", "http")
    async with client(server) as http:
        for _ in range(100):
            assert (await http.post(f"/cur/{fresh_group()}", content=publish_body(1, 2))).status_code == 200
    # Each look at the metrics is one, too.
    more = await metric("geoloop_connections_total", "http") - before
    assert more < 50, f"{more} connections for 100 requests"


if __name__ == "__main__":
    main("behind nginx")
