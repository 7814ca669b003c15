"""stomp.py over WebSocket: its three versions, receipts, acks, transactions and heart-beats."""

import queue
import threading
import uuid

import stomp
from stomp.adapter.ws import WSStompConnection, WSTransport
from stomp.connect import BaseConnection, StompConnection10, StompConnection11
from stomp.protocol import Protocol10, Protocol11

from checks import WAIT_SECONDS_MAX, assert_rising, check, fresh_group, main, publish_body, read_update


class WSStompConnection10(StompConnection10):
    """The library's 1.0 over its WebSocket transport, which it only ships for 1.2."""

    def __init__(self, addresses, ws_path, heartbeats):
        assert heartbeats == (0, 0), "1.0 knows no heart-beats"
        transport = WSTransport(addresses, ws_path=ws_path, reconnect_attempts_max=1)
        BaseConnection.__init__(self, transport)
        Protocol10.__init__(self, transport)


class WSStompConnection11(StompConnection11):
    """The library's 1.1 over its WebSocket transport, which it only ships for 1.2."""

    def __init__(self, addresses, ws_path, heartbeats):
        transport = WSTransport(addresses, ws_path=ws_path, reconnect_attempts_max=1)
        BaseConnection.__init__(self, transport)
        Protocol11.__init__(self, transport, heartbeats)


VERSIONS = {"1.0": WSStompConnection10, "1.1": WSStompConnection11, "1.2": WSStompConnection}


class Heard(stomp.ConnectionListener):
    """Keeps what the server sends, a queue a kind, so that a check can wait for it."""

    def __init__(self):
        self.connected, self.messages, self.receipts, self.errors = (queue.Queue() for _ in range(4))
        self.heart_beats = threading.Semaphore(0)
        self.missed_heart_beat = False
        self.ended = False

    def on_connected(self, frame):
        self.connected.put(frame)

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.ended = True
        self.errors.put(frame)

    def on_heartbeat(self):
        self.heart_beats.release()

    def on_heartbeat_timeout(self):
        self.missed_heart_beat = True


class Client:
    """A connection of the library and what it heard, for the length of a `with`."""

    def __init__(self, server, version="1.2", heartbeats=(0, 0), **headers):
        host, port = server.split(":")
        self.connection = VERSIONS[version]([(host, int(port))], ws_path="/location", heartbeats=heartbeats)
        self.heard = Heard()
        self.connection.set_listener("heard", self.heard)
        self.connection.connect(wait=True, headers=headers)
        connected = self.heard.connected.get(timeout=WAIT_SECONDS_MAX)
        assert connected.headers["version"] == version, connected

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        # After an ERROR the server closes: a goodbye would race with that.
        if not self.heard.ended and self.connection.is_connected():
            self.connection.disconnect()

    def message(self):
        return self.heard.messages.get(timeout=WAIT_SECONDS_MAX)

    def await_receipt(self, name):
        got = self.heard.receipts.get(timeout=WAIT_SECONDS_MAX)
        assert got == name, f"receipt {got}, expected {name}"

    def subscribe(self, group, name, **headers):
        self.connection.subscribe(f"/sub/location/{group}", id=name, receipt=f"to-{name}", **headers)
        self.await_receipt(f"to-{name}")

    def share(self, group, x, y, **headers):
        self.connection.send(f"/pub/share/{group}", publish_body(x, y), content_type="application/json", **headers)

    def acknowledge(self, version, message, command="ack", **more):
        answer = getattr(self.connection, command)
        if version == "1.2":
            answer(message.headers["ack"], **more)
        elif version == "1.1":
            answer(message.headers["message-id"], message.headers["subscription"], **more)
        else:
            answer(message.headers["message-id"], **more)


def for_versions(function):
    """Runs a check for every version; which one failed is in the message."""
    def each(server):
        for version in VERSIONS:
            try:
                function(server, version)
            except Exception as failure:
                raise AssertionError(f"{version}: {type(failure).__name__} {failure}") from failure
    return each


@check("a send is received by its sender and by another, in 1.0, 1.1 and 1.2")
@for_versions
def publish(server, version):
    group = fresh_group()
    with Client(server, version) as alice, Client(server, "1.2") as bob:
        alice.subscribe(group, "a")
        bob.subscribe(group, "b")
        alice.share(group, 12.5, 48.25)
        first, second = alice.message(), bob.message()
        assert first.body == second.body
        read_update(first.body, x=12.5, y=48.25)
        assert first.headers["destination"] == f"/sub/location/{group}", first
        assert (first.headers["subscription"], second.headers["subscription"]) == ("a", "b")


@check("receipts come for SEND, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT")
@for_versions
def receipts(server, version):
    group = fresh_group()
    with Client(server, version) as client:
        client.subscribe(group, "s")
        client.share(group, 1, 2, receipt="sent")
        client.await_receipt("sent")
        client.message()
        client.connection.unsubscribe(id="s", receipt="off")
        client.await_receipt("off")
        client.connection.disconnect(receipt=str(uuid.uuid4()))
        assert client.heard.receipts.get(timeout=WAIT_SECONDS_MAX)


@check("messages of an ack:client subscription are acknowledged, and past the prefetch count the newest is kept")
@for_versions
def acks(server, version):
    # scripts/interop starts the server with --prefetch-count 2.
    group = fresh_group()
    with Client(server, version) as client, Client(server) as publisher:
        client.subscribe(group, "s", ack="client")
        for number in range(1, 6):
            publisher.share(group, number, 0, receipt=f"r{number}")
            publisher.await_receipt(f"r{number}")
        messages = [client.message(), client.message()]
        client.acknowledge(version, messages[-1], receipt="answered")
        updates = [read_update(message.body) for message in messages]
        updates.append(read_update(client.message().body, gap=True))
        client.await_receipt("answered")
        assert [update["x"] for update in updates] == [1, 2, 5], updates
        assert_rising(updates)


@check("a message of a client-individual subscription can be refused")
def nacks(server):
    for version in ("1.1", "1.2"):
        group = fresh_group()
        with Client(server, version) as client:
            client.subscribe(group, "s", ack="client-individual")
            client.share(group, 1, 1)
            client.acknowledge(version, client.message(), "nack", receipt="refused")
            client.await_receipt("refused")


@check("a committed transaction is published, an aborted one is not")
@for_versions
def transactions(server, version):
    group = fresh_group()
    with Client(server, version) as client:
        client.subscribe(group, "s")
        dropped = client.connection.begin()
        client.share(group, 1, 0, transaction=dropped)
        client.connection.abort(dropped)
        kept = client.connection.begin()
        client.share(group, 2, 0, transaction=kept)
        client.share(group, 3, 0)
        client.connection.commit(kept)
        assert [read_update(client.message().body)["x"] for _ in range(2)] == [3, 2]


@check("two groups on one connection stay apart")
@for_versions
def two_groups(server, version):
    one, two = fresh_group(), fresh_group()
    with Client(server, version) as client:
        client.subscribe(one, "first")
        client.subscribe(two, "second")
        client.share(two, 2, 2)
        assert client.message().headers["subscription"] == "second"
        client.share(one, 1, 1)
        assert client.message().headers["subscription"] == "first"


@check("heart-beats, asked for at half a second each way, keep a silent connection")
def heart_beats(server):
    for version in ("1.1", "1.2"):
        group = fresh_group()
        with Client(server, version, heartbeats=(500, 500)) as client:
            for _ in range(5):
                assert client.heard.heart_beats.acquire(timeout=WAIT_SECONDS_MAX), "no heart-beat"
            assert not client.heard.missed_heart_beat
            client.subscribe(group, "s")
            client.share(group, 1, 1)
            read_update(client.message().body, x=1, y=1)


@check("a subscription id with a colon and a backslash comes back as it was")
def escapes(server):
    name = "a:b\\c"
    for version in ("1.1", "1.2"):
        group = fresh_group()
        with Client(server, version) as client:
            client.connection.subscribe(f"/sub/location/{group}", id=name, receipt="to")
            client.await_receipt("to")
            client.share(group, 1, 1)
            assert client.message().headers["subscription"] == name


@check("a send to nowhere gets an ERROR")
def error(server):
    with Client(server) as client:
        client.connection.send("/nowhere", "{}")
        assert client.heard.errors.get(timeout=WAIT_SECONDS_MAX).headers["message"]


if __name__ == "__main__":
    main("stomp.py")
