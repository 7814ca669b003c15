"""websockets: publishing, receiving, replay, leaving, ping and pong, close codes."""

import asyncio
import json

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from checks import assert_rising, check, fresh_group, main, publish_body, read_leave, read_update, soon


def open_socket(server, target):
    """A connection, not yet open; its own pings are off so that those seen are the check's."""
    return connect(f"ws://{server}{target}", proxy=None, ping_interval=None)


async def closing(socket):
    """The code and reason of the Close frame that the server sends; updates before it are passed over."""
    try:
        while True:
            await soon(socket.recv())
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "closed without a Close frame"
        return closed.rcvd


@check("a text message comes back to its sender and to the others of the group as one update")
async def publish(server):
    group = fresh_group()
    async with open_socket(server, f"/ws/{group}") as alice, open_socket(server, f"/ws/{group}") as bob:
        await alice.send(publish_body(12.5, 48.25, member="alice", at=1767225600123))
        seen = await soon(alice.recv())
        update = read_update(seen, member="alice", x=12.5, y=48.25, at=1767225600123)
        assert seen == '{"seq":%d,"member":"alice","x":12.5,"y":48.25,"at":1767225600123}' % update["seq"], seen
        assert await soon(bob.recv()) == seen


@check("two senders' updates reach everyone in one order")
async def one_order(server):
    group = fresh_group()
    async with open_socket(server, f"/ws/{group}") as alice, open_socket(server, f"/ws/{group}") as bob:
        for number in range(50):
            await alice.send(publish_body(number, 1))
            await bob.send(publish_body(number, 2))
        by_alice = [read_update(await soon(alice.recv())) for _ in range(100)]
        by_bob = [read_update(await soon(bob.recv())) for _ in range(100)]
        assert by_alice == by_bob
        assert_rising(by_alice)
        for sender in (1, 2):
            assert [update["x"] for update in by_alice if update["y"] == sender] == list(range(50))


@check("since replays what came after it, then goes on live")
async def since(server):
    group = fresh_group()
    async with open_socket(server, f"/ws/{group}") as socket:
        for number in range(4):
            await socket.send(publish_body(number, 0))
        sent = [read_update(await soon(socket.recv())) for _ in range(4)]
        async with open_socket(server, f"/ws/{group}?since={sent[0]['seq']}") as late:
            assert [read_update(await soon(late.recv())) for _ in range(3)] == sent[1:]
            await socket.send(publish_body(9, 9))
            assert read_update(await soon(late.recv()), x=9, y=9)["seq"] > sent[-1]["seq"]


@check("a connection's member names its updates, and leaves when the connection closes")
async def member_leaves(server):
    group = fresh_group()
    async with open_socket(server, f"/ws/{group}") as watcher:
        async with open_socket(server, f"/ws/{group}?member=alice") as alice:
            await alice.send(publish_body(1, 2))
            here = read_update(await soon(watcher.recv()), member="alice", x=1, y=2)
        gone = read_leave(await soon(watcher.recv()), member="alice")
        assert_rising([here, gone])


@check("a member leaves when the last of its connections is cut without a word")
async def member_cut(server):
    group = fresh_group()
    async with open_socket(server, f"/ws/{group}") as watcher:
        first = await open_socket(server, f"/ws/{group}?member=alice")
        second = await open_socket(server, f"/ws/{group}?member=alice")
        await first.send(publish_body(1, 2))
        read_update(await soon(watcher.recv()), member="alice", x=1, y=2)
        await first.close()
        await second.send(publish_body(3, 4))
        read_update(await soon(watcher.recv()), member="alice", x=3, y=4)
        second.transport.abort()
        read_leave(await soon(watcher.recv()), member="alice")


@check("a ping is answered by a pong with the same payload")
async def ping(server):
    async with open_socket(server, f"/ws/{fresh_group()}") as socket:
        for payload in (b"", b"are you there?", bytes(125)):
            await soon(await socket.ping(payload))


@check("a close is echoed with its code")
async def close_echo(server):
    for code in (1000, 1001, 3000, 4999):
        async with open_socket(server, f"/ws/{fresh_group()}") as socket:
            await socket.close(code, "done")
            assert socket.protocol.close_rcvd is not None, "no Close frame came back"
            assert socket.protocol.close_rcvd.code == code, socket.protocol.close_rcvd


@check("a binary message is closed with 1003, one over the limit with 1009, invalid UTF-8 with 1007")
async def refused_messages(server):
    for message, text, code in ((b"\x01", False, 1003), ("x" * 20000, True, 1009), (b"\xff\xfe", True, 1007)):
        async with open_socket(server, f"/ws/{fresh_group()}") as socket:
            await socket.send(message, text=text)
            closed = await closing(socket)
            assert closed.code == code, f"{closed}, expected {code}"


@check("a bad publish is told as an error and the connection goes on")
async def bad_publish(server):
    async with open_socket(server, f"/ws/{fresh_group()}") as socket:
        await socket.send('{"x":1}')
        error = json.loads(await soon(socket.recv()))
        assert list(error) == ["error", "detail"] and all(error.values()), error
        await socket.send(publish_body(1, 2))
        read_update(await soon(socket.recv()), x=1, y=2)


@check("a fragmented message with a ping between its fragments is one publish")
async def fragments(server):
    async with open_socket(server, f"/ws/{fresh_group()}") as socket:
        async def pieces():
            yield '{"x":1,'
            await soon(await socket.ping())
            yield '"member":"Zoë 🌍",'
            yield '"y":2}'
        await socket.send(pieces())
        read_update(await soon(socket.recv()), member="Zoë 🌍", x=1, y=2)


@check("a hundred messages sent without waiting are a hundred updates in order")
async def pipelined(server):
    async with open_socket(server, f"/ws/{fresh_group()}") as socket:
        for number in range(100):
            await socket.send(publish_body(number, 0))
        updates = [read_update(await soon(socket.recv())) for _ in range(100)]
        assert [update["x"] for update in updates] == list(range(100))
        assert_rising(updates)


@check("a client without a group is put into one and hears itself")
async def random_group(server):
    async with open_socket(server, "/ws") as socket:
        await socket.send(publish_body(4.5, 5.5, member="wanderer"))
        async with asyncio.timeout(10):
            while json.loads(await socket.recv()).get("member") != "wanderer":
                pass


@check("updates of one group reach no other")
async def groups_apart(server):
    async with (open_socket(server, f"/ws/{fresh_group()}") as mine,
                open_socket(server, f"/ws/{fresh_group()}") as other):
        await other.send(publish_body(1, 1))
        await soon(other.recv())
        await mine.send(publish_body(2, 2))
        read_update(await soon(mine.recv()), x=2, y=2)


@check("upgrades that cannot be are refused with a status")
async def refused_upgrades(server):
    for target, status in (("/ws/x", 400), ("/ws/1?member=", 400), ("/nowhere", 404)):
        try:
            async with open_socket(server, target):
                raise AssertionError(f"{target} was upgraded")
        except InvalidStatus as refused:
            assert refused.response.status_code == status, f"{target}: {refused.response.status_code}"


if __name__ == "__main__":
    main("websockets")
