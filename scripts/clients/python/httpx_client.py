"""httpx and httpx-sse: short polling, publishing, the snapshot, long polling and SSE."""

import asyncio
import json
import time

import httpx
from httpx_sse import aconnect_sse

from checks import assert_rising, check, fresh_group, main, publish_body, read_leave, read_update, soon

AT = 1767225600123


def client(server):
    """A client of the server that no proxy stands before."""
    return httpx.AsyncClient(base_url=f"http://{server}", trust_env=False, timeout=20)


async def share(http, group, x, y, **more):
    """Publishes and returns the update that the server answered."""
    answer = await http.post(f"/location/share/{group}", content=publish_body(x, y, **more))
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    return read_update(answer.text, member=more.get("member"), x=x, y=y, at=more.get("at"))


async def next_location(events):
    """The next event with data: httpx-sse makes an event of a retry field that stands alone, too."""
    while not (event := await soon(anext(events))).data:
        pass
    assert event.event == "location", event
    return event


def assert_problem(answer, status):
    """An error is told as RFC 9457 says."""
    assert answer.status_code == status, f"{answer.status_code}, expected {status}"
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers["content-type"]
    problem = answer.json()
    assert problem["status"] == status and problem["title"] and problem["detail"], problem


@check("a short poll of an untouched group is answered with a made-up location that is not stored")
async def untouched_group(server):
    async with client(server) as http:
        answer = await http.get(f"/location/cur/{fresh_group()}")
        assert answer.status_code == 200 and "etag" not in answer.headers, answer.headers
        assert answer.headers["cache-control"] == "no-store", answer.headers
        location = answer.json()
        assert location["seq"] == 0 and 0 <= location["x"] < 100 and 0 <= location["y"] < 100, location


@check("a short poll answers the newest update with its ETag, and its alias the same bytes")
async def short_poll(server):
    group = fresh_group()
    async with client(server) as http:
        update = await share(http, group, 12.5, 48, member="alice", at=AT)
        answer = await http.get(f"/location/cur/{group}")
        assert answer.status_code == 200, answer.status_code
        expected = '{"seq":%d,"member":"alice","x":12.5,"y":48,"at":%d}' % (update["seq"], AT)
        assert answer.text == expected, f"{answer.text}, expected {expected}"
        assert answer.headers["etag"] == f'"{update["seq"]}"', answer.headers
        assert answer.headers["cache-control"] == "no-cache", answer.headers
        assert (await http.get(f"/cur/{group}")).text == expected


@check("a short poll that has the newest update is answered 304, whether it names it plain, weak, in a list or by *")
async def not_modified(server):
    group = fresh_group()
    async with client(server) as http:
        tag = f'"{(await share(http, group, 1, 2))["seq"]}"'
        for match in (tag, f"W/{tag}", f'"1", {tag}', "*"):
            answer = await http.get(f"/location/cur/{group}", headers={"If-None-Match": match})
            assert answer.status_code == 304 and answer.content == b"", f"{match}: {answer.status_code}"
        answer = await http.get(f"/location/cur/{group}", headers={"If-None-Match": '"1"'})
        assert answer.status_code == 200, answer.status_code
        newer = await share(http, group, 3, 4)
        answer = await http.get(f"/location/cur/{group}", headers={"If-None-Match": tag})
        assert read_update(answer.text, x=3, y=4)["seq"] == newer["seq"]


@check("a short poll of a group that everybody left is answered 204")
async def everybody_left(server):
    group = fresh_group()
    async with client(server) as http:
        here = await share(http, group, 1, 2, member="alice")
        answer = await http.post(f"/location/share/{group}", content='{"member":"alice","left":true}')
        assert answer.status_code == 200, answer.text
        assert_rising([here, read_leave(answer.text, member="alice")])
        answer = await http.get(f"/location/cur/{group}")
        assert answer.status_code == 204 and answer.content == b"", answer.status_code


@check("the snapshot holds each member's newest update")
async def snapshot(server):
    group = fresh_group()
    async with client(server) as http:
        await share(http, group, 1, 1, member="alice")
        bob = await share(http, group, 2, 2, member="bob")
        alice = await share(http, group, 3, 3, member="alice")
        answer = await http.get(f"/location/group/{group}")
        assert list(answer.json()) == ["group", "seq", "members"], answer.text
        assert answer.json()["group"] == group and answer.json()["seq"] == alice["seq"], answer.text
        members = {update["member"]: update for update in answer.json()["members"]}
        assert members == {"alice": alice, "bob": bob}, members


@check("every address that publishes answers the update, and seq rises")
async def publish_addresses(server):
    group = fresh_group()
    async with client(server) as http:
        updates = []
        for target in (f"/location/share/{group}", f"/location/cur/{group}", f"/cur/{group}",
                       f"/location/long/{group}/notify", f"/location/sse/share?group={group}"):
            answer = await http.post(target, content=publish_body(0.1, -7))
            assert answer.status_code == 200, f"{target}: {answer.status_code}"
            updates.append(read_update(answer.text, x=0.1, y=-7))
        assert_rising(updates)


@check("a publish that is older than the member's held one is answered 409 and not delivered")
async def stale_publish(server):
    group = fresh_group()
    async with client(server) as http:
        await share(http, group, 1, 1, member="alice", at=AT)
        body = publish_body(2, 2, member="alice", at=AT - 1)
        assert_problem(await http.post(f"/location/share/{group}", content=body), 409)
        assert (await http.get(f"/cur/{group}")).json()["x"] == 1


@check("mistakes are told as problem+json: 400, 404, 405 with Allow, 413")
async def mistakes(server):
    group = fresh_group()
    async with client(server) as http:
        for body in ('{"x":1', '{"x":1}', '{"x":"1","y":2}', '{"x":1e999,"y":2}', '{"x":1,"y":2,"member":""}',
                     '{"x":1,"y":2,"at":-1}'):
            assert_problem(await http.post(f"/location/share/{group}", content=body), 400)
        for target in ("/cur/-1", "/cur/9223372036854775808", "/cur/x", f"/location/long/{group}?timeout=60001",
                       f"/location/long/{group}?since=x"):
            assert_problem(await http.get(target), 400)
        assert_problem(await http.get("/nowhere"), 404)
        answer = await http.delete(f"/location/cur/{group}")
        assert_problem(answer, 405)
        assert {"GET", "HEAD", "POST"} <= set(answer.headers["allow"].replace(" ", "").split(",")), answer.headers
        assert_problem(await http.post(f"/cur/{group}", content="{" + " " * 20000), 413)


@check("HEAD answers a short poll's head and parks nowhere; OPTIONS answers Allow")
async def head_and_options(server):
    group = fresh_group()
    async with client(server) as http:
        update = await share(http, group, 1, 1)
        answer = await http.head(f"/cur/{group}")
        assert answer.status_code == 200 and answer.headers["etag"] == f'"{update["seq"]}"', answer.headers
        for target in (f"/location/long/{group}", f"/location/sse/{group}"):
            answer = await soon(http.head(target))
            assert answer.status_code == 200 and answer.content == b"", target
        answer = await http.options(f"/cur/{group}")
        assert answer.status_code == 204 and "GET" in answer.headers["allow"], answer.headers


@check("a chunked publish is read")
async def chunked_publish(server):
    async def halves():
        yield b'{"x":1,'
        yield b'"y":2}'
    async with client(server) as http:
        answer = await http.post(f"/location/share/{fresh_group()}", content=halves())
        read_update(answer.text, x=1, y=2)


@check("a long poll is answered 204 with its cursor at the deadline, not before")
async def long_poll_deadline(server):
    async with client(server) as http:
        start = time.monotonic()
        answer = await http.get(f"/location/long/{fresh_group()}?timeout=300")
        waited = time.monotonic() - start
        assert answer.status_code == 204 and answer.content == b"", answer.status_code
        assert int(answer.headers["location-seq"]) > 0, answer.headers
        assert answer.headers["cache-control"] == "no-store", answer.headers
        assert 0.29 < waited < 3, f"waited {waited:.3f} s"


@check("a parked long poll is woken by notify")
async def long_poll_woken(server):
    group = fresh_group()
    async with client(server) as http:
        cursor = (await http.get(f"/location/long/{group}?timeout=1")).headers["location-seq"]
        poll = asyncio.create_task(http.get(f"/location/long/{group}?since={cursor}"))
        answer = await http.post(f"/location/long/{group}/notify", content=publish_body(5, 6, member="bob"))
        sent = read_update(answer.text, member="bob", x=5, y=6)
        woken = await soon(poll)
        assert woken.status_code == 200 and read_update(woken.text, member="bob", x=5, y=6) == sent
        assert woken.headers["location-seq"] == str(sent["seq"]), woken.headers


@check("a chain of long polls by Location-Seq misses nothing that was published between them")
async def long_poll_chain(server):
    group = fresh_group()
    async with client(server) as http:
        cursor = (await http.get(f"/location/long/{group}?timeout=1")).headers["location-seq"]
        sent = [await share(http, group, number, 0) for number in range(5)]
        received = []
        for _ in sent:
            answer = await http.get(f"/location/long/{group}?since={cursor}")
            received.append(read_update(answer.text))
            cursor = answer.headers["location-seq"]
        assert received == sent, f"{received}, expected {sent}"
        answer = await http.get(f"/location/long/{group}?since={cursor}&timeout=100")
        assert answer.status_code == 204 and answer.headers["location-seq"] == cursor, answer.headers


@check("a long poll whose cursor is above the newest update is told of the gap")
async def long_poll_lost_cursor(server):
    group = fresh_group()
    async with client(server) as http:
        sent = await share(http, group, 1, 2)
        answer = await http.get(f"/location/long/{group}?since={sent['seq'] + 10**6}")
        assert read_update(answer.text, x=1, y=2, gap=True)["seq"] == sent["seq"]


@check("an SSE stream carries updates as they are published, id, event and data")
async def sse_live(server):
    group = fresh_group()
    async with client(server) as http, aconnect_sse(http, "GET", f"/location/sse/{group}") as source:
        headers = source.response.headers
        assert headers["content-type"].startswith("text/event-stream"), headers
        assert headers["cache-control"] == "no-store" and headers["x-accel-buffering"] == "no", headers
        events = source.aiter_sse()
        for number in range(3):
            sent = await share(http, group, number, 1.5, member="alice")
            event = await next_location(events)
            assert event.id == str(sent["seq"]), event
            assert read_update(event.data, member="alice", x=number, y=1.5) == sent


@check("an SSE stream with Last-Event-ID replays what came after it, then goes on live")
async def sse_replay(server):
    group = fresh_group()
    async with client(server) as http:
        sent = [await share(http, group, number, 1) for number in range(4)]
        for ask in ({"headers": {"Last-Event-ID": str(sent[0]["seq"])}},
                    {"params": {"last_event_id": str(sent[0]["seq"])}}):
            async with aconnect_sse(http, "GET", f"/location/sse/{group}", **ask) as source:
                events = source.aiter_sse()
                replayed = [read_update((await next_location(events)).data) for _ in sent[1:]]
                assert replayed == sent[1:], f"{replayed}, expected {sent[1:]}"
                live = await share(http, group, 99, 1)
                assert read_update((await next_location(events)).data) == live
                sent.append(live)


@check("an SSE stream with a lost cursor is told of the gap in its first update only")
async def sse_lost_cursor(server):
    group = fresh_group()
    async with client(server) as http:
        sent = [await share(http, group, number, 1, member=f"m{number}") for number in range(2)]
        ask = {"Last-Event-ID": str(sent[-1]["seq"] + 10**6)}
        async with aconnect_sse(http, "GET", f"/location/sse/{group}", headers=ask) as source:
            events = source.aiter_sse()
            first = read_update((await next_location(events)).data, member="m0", gap=True)
            second = read_update((await next_location(events)).data, member="m1")
            assert [first["seq"], second["seq"]] == [update["seq"] for update in sent]


@check("the member that an SSE stream speaks for leaves when the stream ends")
async def sse_member_leaves(server):
    group = fresh_group()
    async with client(server) as http, aconnect_sse(http, "GET", f"/location/sse/{group}") as watcher:
        events = watcher.aiter_sse()
        async with aconnect_sse(http, "GET", f"/location/sse/{group}?member=bob"):
            await share(http, group, 1, 2, member="bob")
            read_update((await next_location(events)).data, member="bob", x=1, y=2)
        read_leave((await next_location(events)).data, member="bob")


@check("updates of one group reach no other")
async def groups_apart(server):
    mine, other = fresh_group(), fresh_group()
    async with client(server) as http, aconnect_sse(http, "GET", f"/location/sse/{mine}") as source:
        events = source.aiter_sse()
        await share(http, other, 1, 1)
        sent = await share(http, mine, 2, 2)
        assert read_update((await next_location(events)).data) == sent


@check("the metrics count connections, and health is 200")
async def metrics(server):
    async with client(server) as http:
        for target in ("/metrics", "/actuator/prometheus"):
            text = (await http.get(target)).text
            assert "# HELP geoloop_connections " in text and "geoloop_publishes_total{" in text, text[:200]
        assert (await http.get("/healthz")).status_code == (await http.get("/readyz")).status_code == 200


@check("a snapshot's cursor is where a stream goes on")
async def snapshot_then_stream(server):
    group = fresh_group()
    async with client(server) as http:
        await share(http, group, 1, 1, member="alice")
        seq = json.loads((await http.get(f"/location/group/{group}")).text)["seq"]
        missed = await share(http, group, 2, 2, member="alice")
        async with aconnect_sse(http, "GET", f"/location/sse/{group}", headers={"Last-Event-ID": str(seq)}) as source:
            assert read_update((await next_location(source.aiter_sse())).data, member="alice") == missed


if __name__ == "__main__":
    main("httpx")
