"""STOMP written frame by frame over websockets: what the libraries hide, each version's rules to the letter."""

import asyncio
import re
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from checks import assert_rising, check, fresh_group, main, publish_body, read_leave, read_update, soon

VERSIONS = ("1.0", "1.1", "1.2")


@dataclass
class Frame:
    """A frame as it came, its headers not unescaped."""
    command: str
    headers: dict
    body: str


def frame(command, body="", **headers):
    """The text of a frame; an underscore in a header's name stands for a hyphen."""
    lines = "".join(f"{name.replace('_', '-')}:{value}\n" for name, value in headers.items())
    return f"{command}\n{lines}\n{body}\0"


def read_frame(text):
    """The one frame in a message of the server, EOLs around it allowed."""
    head, _, rest = text.lstrip("\r\n").partition("\n\n")
    command, *lines = head.split("\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name, value)
    assert rest.rstrip("\r\n").endswith("\0"), f"no NUL ends {text!r}"
    body = rest.rstrip("\r\n")[:-1]
    if "content-length" in headers:
        assert int(headers["content-length"]) == len(body.encode()), text
    return Frame(command, headers, body)


class Stomp:
    """A STOMP conversation; heart-beats that arrive are counted and passed over."""

    def __init__(self, socket):
        self.socket = socket
        self.heart_beats = 0

    async def send(self, command, body="", **headers):
        await self.socket.send(frame(command, body, **headers))

    async def next(self):
        """The next frame."""
        while True:
            text = await soon(self.socket.recv())
            text = text if isinstance(text, str) else text.decode()
            if text.strip("\r\n"):
                return read_frame(text)
            self.heart_beats += 1

    async def expect(self, command, **headers):
        """The next frame, which is a `command` with these headers."""
        came = await self.next()
        assert came.command == command, f"{came}, expected {command}"
        for name, value in headers.items():
            assert came.headers.get(name.replace("_", "-")) == value, f"{came}, expected {name}:{value}"
        return came

    async def expect_end(self):
        """The server closes the connection."""
        try:
            while True:
                assert not (await soon(self.socket.recv())).strip(), "a frame where the end should be"
        except ConnectionClosed:
            pass

    async def connect(self, version="1.2", **headers):
        await self.send("CONNECT", accept_version=version, host="localhost", **headers)
        return await self.expect("CONNECTED", version=version.rsplit(",", 1)[-1])

    async def subscribe(self, group, name="s", **headers):
        """Subscribes, and waits until that has happened."""
        await self.send("SUBSCRIBE", id=name, destination=f"/sub/location/{group}", receipt=f"to-{name}", **headers)
        await self.expect("RECEIPT", receipt_id=f"to-{name}")

    async def share(self, group, x, y, **headers):
        await self.send("SEND", publish_body(x, y), destination=f"/pub/share/{group}", **headers)


class Open:
    """Opens a WebSocket at /location for the length of an `async with`."""

    def __init__(self, server, **options):
        self.connecting = connect(f"ws://{server}/location", proxy=None, ping_interval=None, **options)

    async def __aenter__(self):
        return Stomp(await self.connecting.__aenter__())

    async def __aexit__(self, *failure):
        await self.connecting.__aexit__(*failure)


def acknowledgement(version, message):
    """The headers by which `version` names a message in an ACK."""
    if version == "1.2":
        return {"id": message.headers["ack"]}
    return {"message_id": message.headers["message-id"], "subscription": message.headers["subscription"]}


@check("the highest common version is answered, 1.0 to a client that names none")
async def versions(server):
    asked = {"1.0": "1.0", "1.1": "1.1", "1.2": "1.2", "1.0,1.1": "1.1", "1.0,1.1,1.2": "1.2", "1.2,1.0": "1.2",
             "1.0,1.1,2.0": "1.1"}
    for accepted, version in asked.items():
        async with Open(server) as stomp:
            await stomp.send("CONNECT", accept_version=accepted, host="localhost")
            connected = await stomp.expect("CONNECTED", version=version)
            assert {"server", "session", "heart-beat"} <= set(connected.headers), connected
    async with Open(server) as stomp:
        await stomp.send("CONNECT")
        await stomp.expect("CONNECTED", version="1.0")
    async with Open(server) as stomp:
        await stomp.send("STOMP", accept_version="1.2", host="localhost")
        await stomp.expect("CONNECTED", version="1.2")


@check("a client without a common version gets an ERROR that names the versions, and the end")
async def no_common_version(server):
    async with Open(server) as stomp:
        await stomp.send("CONNECT", accept_version="2.0", host="localhost")
        error = await stomp.expect("ERROR")
        assert "1.2" in error.headers["version"], error
        await stomp.expect_end()


@check("one of the offered subprotocols is chosen, and none of those unknown")
async def subprotocols(server):
    for offered in (["v10.stomp"], ["v11.stomp"], ["v12.stomp"], ["v10.stomp", "v11.stomp", "v12.stomp"]):
        async with Open(server, subprotocols=offered) as stomp:
            assert stomp.socket.subprotocol in offered, stomp.socket.subprotocol
            await stomp.connect()
    async with Open(server, subprotocols=["mqtt"]) as stomp:
        assert stomp.socket.subprotocol is None, stomp.socket.subprotocol


@check("a MESSAGE carries the update and its headers, in every version")
async def message(server):
    for version in VERSIONS:
        group = fresh_group()
        async with Open(server) as stomp:
            await stomp.connect(version)
            await stomp.subscribe(group, "sub-1")
            await stomp.share(group, 12.5, 48)
            came = await stomp.expect("MESSAGE", destination=f"/sub/location/{group}", subscription="sub-1")
            update = read_update(came.body, x=12.5, y=48)
            assert came.body == '{"seq":%d,"x":12.5,"y":48,"at":%d}' % (update["seq"], update["at"]), came.body
            assert re.fullmatch(rf"\d+-{update['seq']}", came.headers["message-id"]), came
            assert came.headers["content-type"].startswith("application/json"), came
            assert int(came.headers["content-length"]) == len(came.body), came
            assert "ack" not in came.headers, came


@check("frames sent behind CONNECT without waiting, and in one message with it, take effect in order")
async def without_waiting(server):
    group = fresh_group()
    async with Open(server) as stomp:
        await stomp.socket.send(
            frame("CONNECT", accept_version="1.2", host="h")
            + "\n\r\n" + frame("SUBSCRIBE", id="s", destination=f"/sub/location/{group}")
            + "\n" + frame("SEND", publish_body(1, 2), destination=f"/pub/share/{group}") + "\n")
        await stomp.expect("CONNECTED", version="1.2")
        read_update((await stomp.expect("MESSAGE")).body, x=1, y=2)


@check("a frame over several messages, in binary ones, with CRLF: all are read")
async def framing(server):
    group = fresh_group()
    async with Open(server) as stomp:
        await stomp.connect()
        await stomp.subscribe(group)
        sent = frame("SEND", publish_body(1, 2), destination=f"/pub/share/{group}")
        for piece in (sent[:3], sent[3:20], sent[20:-1], sent[-1]):
            await stomp.socket.send(piece)
        read_update((await stomp.expect("MESSAGE")).body, x=1, y=2)
        await stomp.socket.send(sent.encode())
        read_update((await stomp.expect("MESSAGE")).body, x=1, y=2)
        head, _, body = sent.partition("\n\n")
        await stomp.socket.send("\r\n" + head.replace("\n", "\r\n") + "\r\n\r\n" + body + "\r\n")
        read_update((await stomp.expect("MESSAGE")).body, x=1, y=2)


@check("a body with content-length may hold NUL, and what is no JSON object becomes a made-up location")
async def body_with_nul(server):
    group = fresh_group()
    async with Open(server) as stomp:
        await stomp.connect()
        await stomp.subscribe(group)
        await stomp.send("SEND", "a\0b", destination=f"/pub/share/{group}", content_length=3, receipt="r")
        # Receipts go before data.
        await stomp.expect("RECEIPT", receipt_id="r")
        update = read_update((await stomp.expect("MESSAGE")).body)
        assert 0 <= update["x"] < 100 and 0 <= update["y"] < 100, update


@check("every client frame that asks gets its receipt, in every version")
async def receipts(server):
    for version in VERSIONS:
        group, names = fresh_group(), iter(range(100))

        async def with_receipt(stomp, command, body="", **headers):
            name = f"receipt-{next(names)}"
            await stomp.send(command, body, receipt=name, **headers)
            while (came := await stomp.next()).command == "MESSAGE":
                messages.append(came)
            assert (came.command, came.headers["receipt-id"]) == ("RECEIPT", name), f"{command}: {came}"

        messages = []
        async with Open(server) as stomp:
            await stomp.connect(version)
            sub = {"id": "s", "destination": f"/sub/location/{group}"}
            await with_receipt(stomp, "SUBSCRIBE", ack="client" if version == "1.0" else "client-individual", **sub)
            await stomp.share(group, 1, 1)
            messages.append(await stomp.expect("MESSAGE"))
            await with_receipt(stomp, "SEND", publish_body(2, 2), destination=f"/pub/share/{group}")
            if len(messages) < 2:  # A receipt may come before the publish's own echo.
                messages.append(await stomp.expect("MESSAGE"))
            await with_receipt(stomp, "ACK", **acknowledgement(version, messages[0]))
            if version != "1.0":
                await with_receipt(stomp, "NACK", **acknowledgement(version, messages[1]))
            await with_receipt(stomp, "BEGIN", transaction="t")
            await with_receipt(stomp, "COMMIT", transaction="t")
            await with_receipt(stomp, "BEGIN", transaction="u")
            await with_receipt(stomp, "ABORT", transaction="u")
            await with_receipt(stomp, "UNSUBSCRIBE", **sub)
            await with_receipt(stomp, "DISCONNECT")
            assert len(messages) == 2, messages


@check("ack client and client-individual put an ack header on messages, auto does not")
async def ack_header(server):
    for mode, has_ack in (("auto", False), ("client", True), ("client-individual", True)):
        group = fresh_group()
        async with Open(server) as stomp:
            await stomp.connect()
            await stomp.subscribe(group, ack=mode)
            await stomp.share(group, 1, 1)
            assert ("ack" in (await stomp.expect("MESSAGE")).headers) == has_ack, mode


async def held_back(server, version, mode, answer):
    """With `--prefetch-count 2` a subscription is conflated past two unanswered messages, and goes on once answered."""
    group = fresh_group()
    async with Open(server) as stomp, Open(server) as publisher:
        await stomp.connect(version)
        await publisher.connect()
        await stomp.subscribe(group, ack=mode)
        for number in range(1, 6):
            await publisher.share(group, number, 0, receipt=f"r{number}")
            await publisher.expect("RECEIPT", receipt_id=f"r{number}")
        messages = [await stomp.expect("MESSAGE"), await stomp.expect("MESSAGE")]
        # An ACK of a transaction that is aborted answers nothing, so a third message would come before its receipt.
        await stomp.send("BEGIN", transaction="t")
        await stomp.send("ACK", transaction="t", **acknowledgement(version, messages[-1]))
        await stomp.send("ABORT", transaction="t", receipt="nothing-more")
        await stomp.expect("RECEIPT", receipt_id="nothing-more")
        await answer(stomp, messages)
        late = await stomp.expect("MESSAGE")
        updates = [read_update(each.body, y=0) for each in messages] + [read_update(late.body, y=0, gap=True)]
        assert [update["x"] for update in updates] == [1, 2, 5], updates
        assert_rising(updates)


@check("ack client answers cumulatively; unanswered messages are bounded and conflated, in every version")
async def ack_client(server):
    for version in VERSIONS:
        async def last(stomp, messages):
            await stomp.send("ACK", **acknowledgement(version, messages[-1]))
        await held_back(server, version, "client", last)


@check("ack client-individual answers one message, and NACK counts as an answer")
async def ack_individual(server):
    for version in VERSIONS[1:]:
        for command in ("ACK", "NACK"):
            async def second(stomp, messages):
                await stomp.send(command, **acknowledgement(version, messages[1]))
            await held_back(server, version, "client-individual", second)


@check("a transaction's sends appear at COMMIT and not before, those of an aborted one never")
async def transactions(server):
    for version in VERSIONS:
        group = fresh_group()
        async with Open(server) as stomp:
            await stomp.connect(version)
            await stomp.subscribe(group)
            await stomp.send("BEGIN", transaction="kept")
            await stomp.send("BEGIN", transaction="dropped")
            await stomp.share(group, 2, 0, transaction="kept")
            await stomp.share(group, 9, 9, transaction="dropped")
            await stomp.share(group, 3, 0, transaction="kept")
            await stomp.share(group, 1, 0)
            updates = [read_update((await stomp.expect("MESSAGE")).body, x=1, y=0)]
            await stomp.send("ABORT", transaction="dropped")
            await stomp.send("COMMIT", transaction="kept")
            updates += [read_update((await stomp.expect("MESSAGE")).body, x=x, y=0) for x in (2, 3)]
            await stomp.share(group, 4, 0)
            updates.append(read_update((await stomp.expect("MESSAGE")).body, x=4, y=0))
            assert_rising(updates)


@check("two groups on one connection stay apart, and unsubscribing from one leaves the other")
async def two_groups(server):
    one, two = fresh_group(), fresh_group()
    async with Open(server) as stomp:
        await stomp.connect()
        await stomp.subscribe(one, "first")
        await stomp.subscribe(two, "second")
        await stomp.share(one, 1, 1)
        first = await stomp.expect("MESSAGE", subscription="first", destination=f"/sub/location/{one}")
        await stomp.send("SEND", publish_body(2, 2), destination=f"/sub/location/{two}")
        second = await stomp.expect("MESSAGE", subscription="second", destination=f"/sub/location/{two}")
        read_update(first.body, x=1, y=1)
        read_update(second.body, x=2, y=2)
        ordinals = {each.headers["message-id"].split("-")[0] for each in (first, second)}
        assert len(ordinals) == 2, f"both subscriptions have the ordinal {ordinals}"
        await stomp.send("UNSUBSCRIBE", id="first", receipt="off")
        await stomp.expect("RECEIPT", receipt_id="off")
        await stomp.share(one, 3, 3)
        await stomp.share(two, 4, 4)
        read_update((await stomp.expect("MESSAGE", subscription="second")).body, x=4, y=4)


@check("headers are escaped in 1.1 and 1.2 and left alone in 1.0")
async def escapes(server):
    names = {"1.0": r"a\cb\d", "1.1": r"a\cb\\\n", "1.2": r"a\cb\\\n\r"}
    for version, name in names.items():
        group = fresh_group()
        async with Open(server) as stomp:
            await stomp.connect(version)
            await stomp.subscribe(group, name)
            await stomp.share(group, 1, 1)
            await stomp.expect("MESSAGE", subscription=name)


@check("of repeated headers the first wins")
async def repeated_headers(server):
    group, other = fresh_group(), fresh_group()
    async with Open(server) as stomp:
        await stomp.connect()
        await stomp.subscribe(group)
        lines = f"destination:/pub/share/{group}\ndestination:/pub/share/{other}\n"
        await stomp.socket.send(f"SEND\n{lines}\n{publish_body(1, 2)}\0")
        read_update((await stomp.expect("MESSAGE")).body, x=1, y=2)


@check("heart-beats go both ways, and the connection outlives the tolerance by them alone")
async def heart_beats(server):
    async with Open(server) as stomp:
        connected = await stomp.connect(**{"heart-beat": "500,500"})
        sends, wants = map(int, connected.headers["heart-beat"].split(","))
        assert 0 < sends <= 1000 and 0 < wants <= 1000, connected

        async def beat():
            while True:
                await stomp.socket.send("\n")
                await asyncio.sleep(max(500, wants) / 1000)

        beating = asyncio.create_task(beat())
        for _ in range(5):
            assert not (await soon(stomp.socket.recv())).strip("\r\n")
        beating.cancel()
        group = fresh_group()
        await stomp.subscribe(group)
        await stomp.share(group, 1, 1)
        read_update((await stomp.expect("MESSAGE")).body, x=1, y=1)


@check("a client that promised heart-beats and sends none is closed")
async def silent_client(server):
    async with Open(server) as stomp:
        await stomp.connect(**{"heart-beat": "500,0"})
        try:
            while True:
                await soon(stomp.socket.recv())
        except ConnectionClosed:
            pass


@check("a frame that breaks the protocol gets an ERROR with a message, and the end")
async def bad_frames(server):
    breaches = (
        frame("FLY"),
        frame("SUBSCRIBE", id="s"),
        frame("SUBSCRIBE", id="s", destination="/sub/location/x"),
        frame("SEND", publish_body(1, 1), destination="/nowhere"),
        frame("COMMIT", transaction="never-begun"),
        frame("CONNECT", accept_version="1.2", host="twice"),
        "SEND\nno colon here\n\n\0",
        "SEND\ndestination:/pub/share/1\\t\n\n\0",
        frame("SEND", '{"x":1', destination="/pub/share/1"),
    )
    for breach in breaches:
        async with Open(server) as stomp:
            await stomp.connect()
            await stomp.socket.send(breach)
            try:
                error = await stomp.expect("ERROR")
                assert error.headers["message"], error
                await stomp.expect_end()
            except (AssertionError, TimeoutError, ConnectionClosed) as failure:
                raise AssertionError(f"to {breach!r}: {type(failure).__name__} {failure}") from failure


@check("the ERROR to a frame that asked for a receipt names it")
async def error_receipt(server):
    async with Open(server) as stomp:
        await stomp.connect()
        await stomp.send("SEND", '{"x":1', destination="/pub/share/1", receipt="of-the-bad-one")
        await stomp.expect("ERROR", receipt_id="of-the-bad-one")


@check("the member that a connection speaks for names its sends, and leaves when it disconnects")
async def member_leaves(server):
    group = fresh_group()
    async with Open(server) as watcher:
        await watcher.connect()
        await watcher.subscribe(group)
        async with Open(server) as alice:
            await alice.connect(member="alice")
            await alice.subscribe(group)
            await alice.share(group, 1, 2)
            read_update((await watcher.expect("MESSAGE")).body, member="alice", x=1, y=2)
            await alice.expect("MESSAGE")
            await alice.send("DISCONNECT", receipt="bye")
            await alice.expect("RECEIPT", receipt_id="bye")
        read_leave((await watcher.expect("MESSAGE")).body, member="alice")


@check("a subscription's since replays what came after it")
async def since(server):
    group = fresh_group()
    async with Open(server) as stomp:
        await stomp.connect()
        await stomp.subscribe(group)
        sent = []
        for number in range(4):
            await stomp.share(group, number, 0)
            sent.append(read_update((await stomp.expect("MESSAGE")).body, x=number, y=0))
        async with Open(server) as late:
            await late.connect()
            await late.send("SUBSCRIBE", id="s", destination=f"/sub/location/{group}", since=sent[0]["seq"])
            assert [read_update((await late.expect("MESSAGE")).body) for _ in sent[1:]] == sent[1:]


if __name__ == "__main__":
    main("stomp frames")
