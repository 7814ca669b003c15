"""A publish through each transport reaches the subscribers on all others, the same bytes, in one order."""

from contextlib import AsyncExitStack

import httpx
from httpx_sse import aconnect_sse
from websockets.asyncio.client import connect

from checks import assert_rising, check, fresh_group, main, publish_body, read_update, soon
from curl_client import curl
from httpx_client import next_location
from stomp_frames import Open


class Listeners:
    """One subscriber of a group on each transport; `next` is what each of them got next."""

    def __init__(self, server, group):
        self.server, self.group = server, group

    async def open(self, stack):
        self.http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{self.server}", trust_env=False, timeout=20))
        answer = await self.http.get(f"/location/long/{self.group}?timeout=1")
        self.cursor = answer.headers["location-seq"]
        source = await stack.enter_async_context(aconnect_sse(self.http, "GET", f"/location/sse/{self.group}"))
        self.events = source.aiter_sse()
        self.socket = await stack.enter_async_context(
            connect(f"ws://{self.server}/ws/{self.group}", proxy=None, ping_interval=None))
        self.stomp = await stack.enter_async_context(Open(self.server))
        await self.stomp.connect()
        await self.stomp.subscribe(self.group)

    async def next(self):
        """What each transport says of the next update, by its name."""
        poll = await self.http.get(f"/location/long/{self.group}?since={self.cursor}")
        self.cursor = poll.headers["location-seq"]
        return {
            "long_poll": poll.text,
            "sse": (await next_location(self.events)).data,
            "websocket": await soon(self.socket.recv()),
            "stomp": (await self.stomp.expect("MESSAGE")).body,
            "short_poll": (await self.http.get(f"/cur/{self.group}")).text,
        }


async def by_curl(listeners, body):
    status, _, _ = await curl(listeners.server, f"/location/share/{listeners.group}", "--data", body)
    assert status == 200, f"curl: {status}"


async def by_post(listeners, body, target):
    answer = await listeners.http.post(target.format(listeners.group), content=body)
    assert answer.status_code == 200, f"{target}: {answer.status_code}"


async def by_websocket(listeners, body):
    await listeners.socket.send(body)


async def by_stomp(listeners, body):
    await listeners.stomp.send("SEND", body, destination=f"/pub/share/{listeners.group}")


PUBLISHERS = {
    "short polling's POST /cur": lambda listeners, body: by_post(listeners, body, "/cur/{}"),
    "curl's POST /location/share": by_curl,
    "long polling's notify": lambda listeners, body: by_post(listeners, body, "/location/long/{}/notify"),
    "SSE's share": lambda listeners, body: by_post(listeners, body, "/location/sse/share?group={}"),
    "a WebSocket message": by_websocket,
    "a STOMP SEND": by_stomp,
}


@check("a publish through each transport reaches subscribers on the other four with the same bytes, in order")
async def every_pair(server):
    # Eight groups, so that with several workers some are at home on the shard that accepts and some are not.
    for _ in range(8):
        listeners, updates = Listeners(server, fresh_group()), []
        async with AsyncExitStack() as stack:
            await listeners.open(stack)
            for number, (publisher, publish) in enumerate(PUBLISHERS.items()):
                await publish(listeners, publish_body(number + 0.5, -number, member=f"m{number}"))
                heard = await listeners.next()
                assert len(set(heard.values())) == 1, f"{publisher} was heard as {heard}"
                updates.append(read_update(heard["sse"], member=f"m{number}", x=number + 0.5, y=-number))
        assert_rising(updates)


@check("a keep-alive client that changes groups gets each group's own update")
async def changing_groups(server):
    groups = [fresh_group() for _ in range(20)]
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=f"http://{server}", trust_env=False, limits=limits) as http:
        for number, group in enumerate(groups):
            answer = await http.post(f"/cur/{group}", content=publish_body(number, number))
            read_update(answer.text, x=number, y=number)
        for number, group in enumerate(groups):
            read_update((await http.get(f"/cur/{group}")).text, x=number, y=number)


@check("one STOMP connection with twenty groups gets each group's updates in order, and no other's")
async def many_groups(server):
    groups = [fresh_group() for _ in range(20)]
    async with Open(server) as stomp:
        await stomp.connect()
        for group in groups:
            await stomp.subscribe(group, str(group))
        for number in range(5):
            for group in groups:
                await stomp.share(group, number, group % 1000)
        heard = {group: [] for group in groups}
        for _ in range(5 * len(groups)):
            message = await stomp.expect("MESSAGE")
            heard[int(message.headers["subscription"])].append(read_update(message.body))
        for group, updates in heard.items():
            assert [(update["x"], update["y"]) for update in updates] == [(n, group % 1000) for n in range(5)], updates
            assert_rising(updates)


if __name__ == "__main__":
    main("across transports")
