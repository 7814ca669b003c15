"""The requests of the study's k6 script, exactly as it writes them: curl for HTTP, websockets for the rest."""

import asyncio
import json
import uuid

from websockets.asyncio.client import connect

from checks import check, main, read_update, soon
from curl_client import curl

# What the script draws its group from: 1 to 10, ten included.
GROUPS = range(1, 11)


def open_socket(server, target):
    return connect(f"ws://{server}{target}", proxy=None, ping_interval=None)


@check("GET /cur/1 to /cur/10 are 200 with a location")
async def short_polling(server):
    for group in GROUPS:
        status, _, body = await curl(server, f"/cur/{group}")
        location = json.loads(body)
        assert status == 200 and {"seq", "x", "y", "at"} <= set(location), f"{status}: {body}"


@check("a long poll that accepts text/event-stream is woken by a notify without a body, both 200")
async def long_polling(server):
    for group in (1, 10):
        _, headers, _ = await curl(server, f"/location/long/{group}?timeout=1")
        target = f"/location/long/{group}?since={headers['location-seq']}"
        poll = asyncio.create_task(curl(server, target, "--header", "Accept: text/event-stream"))
        status, _, body = await curl(server, f"/location/long/{group}/notify", "--request", "POST")
        assert status == 200, f"notify {status}"
        sent = read_update(body)
        assert 0 <= sent["x"] < 100 and 0 <= sent["y"] < 100, body
        status, _, body = await soon(poll)
        assert status == 200 and read_update(body) == sent, f"{status}: {body}"


@check("a long poll as the script writes it, without a cursor, parks and is woken")
async def long_polling_bare(server):
    poll = asyncio.create_task(curl(server, "/location/long/7", "--header", "Accept: text/event-stream"))
    while not poll.done():
        # The script cannot know when its poll has parked either; one of these notifies comes after it has.
        assert (await curl(server, "/location/long/7/notify", "--request", "POST"))[0] == 200
    status, headers, body = await poll
    assert status == 200 and headers["location-seq"] == str(read_update(body)["seq"]), f"{status}: {body}"


@check("GET /location/sse/connect is 200, one event, and ends")
async def sse_connect(server):
    status, headers, body = await curl(server, "/location/sse/connect", "--header", "Accept: text/event-stream")
    assert status == 200 and headers["content-type"].startswith("text/event-stream"), headers
    assert int(headers["content-length"]) == len(body), headers
    fields = dict(line.split(": ", 1) for line in body.strip().split("\n"))
    update = read_update(fields["data"])
    assert fields["event"] == "location" and fields["id"] == str(update["seq"]), body


@check("POST /location/sse/share without a body is 200 with the update")
async def sse_share(server):
    status, _, body = await curl(server, "/location/sse/share", "--request", "POST")
    assert status == 200, status
    read_update(body)


@check("the texts sent to /ws come back as updates")
async def websocket(server):
    for text in ("Hello from k6 WebSocket!", "Hello from k6!"):
        async with open_socket(server, "/ws") as socket:
            await socket.send(text)
            read_update(await soon(socket.recv()))


@check("the STOMP frames as the script writes them: CONNECTED 1.1, then the SEND comes back as a MESSAGE")
async def stomp(server):
    for group in GROUPS:
        async with open_socket(server, "/location") as socket:
            await socket.send("CONNECT\naccept-version:1.0,1.1,2.0\n\n\x00\n")
            await socket.send(f"SUBSCRIBE\nid:{uuid.uuid4()}\ndestination:/sub/location/{group}\n\n\x00\n")
            content = json.dumps({"content": "Hi from k6 STOMP!"}, separators=(",", ":"))
            await socket.send(f"SEND\ndestination:/pub/share/{group}\n\n{content}\x00\n")
            connected = await soon(socket.recv())
            assert connected.startswith("CONNECTED\n") and "\nversion:1.1\n" in connected, connected
            message = await soon(socket.recv())
            head, _, rest = message.partition("\n\n")
            assert head.startswith("MESSAGE\n") and f"\ndestination:/sub/location/{group}" in head, message
            read_update(rest.rstrip("\n").rstrip("\0"))


if __name__ == "__main__":
    main("the seed's requests")
