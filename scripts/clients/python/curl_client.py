"""curl: what a person at a terminal does with the server."""

import asyncio
import subprocess

from checks import assert_rising, check, fresh_group, main, publish_body, read_update, soon

CURL = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "15"]


def read_answer(text):
    """Status, headers (lower case) and body of an answer with its head; of several, the last."""
    head, _, body = text.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    if status.split()[1] == "100":
        return read_answer(body)
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


async def curl(server, target, *options):
    """Status, headers (lower case) and body of curl's answer."""
    process = await asyncio.create_subprocess_exec(
        *CURL, "--include", *options, f"http://{server}{target}", stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0, f"curl ended with {process.returncode} for {target}"
    return read_answer(output.decode())


@check("publish with --data, then short poll, then 304 by its ETag")
async def publish_and_poll(server):
    group = fresh_group()
    status, _, body = await curl(server, f"/location/share/{group}", "--data", publish_body(12.5, 48.25))
    assert status == 200, status
    sent = read_update(body, x=12.5, y=48.25)
    status, headers, body = await curl(server, f"/location/cur/{group}")
    assert status == 200 and read_update(body) == sent, f"{status}: {body}"
    status, _, body = await curl(server, f"/location/cur/{group}", "--header", f"If-None-Match: {headers['etag']}")
    assert status == 304 and not body, f"{status}: {body}"


@check("a publish that expects 100-continue, one in HTTP/1.0 and a chunked one are answered")
async def ways_to_send(server):
    target = f"/location/share/{fresh_group()}"
    for options in (["--header", "Expect: 100-continue"], ["--http1.0"], ["--header", "Transfer-Encoding: chunked"]):
        status, _, body = await curl(server, target, "--data", publish_body(1, 2), *options)
        assert status == 200, f"{options}: {status}"
        read_update(body, x=1, y=2)


@check("a long poll parks to its deadline, then is woken from its cursor")
async def long_poll(server):
    group = fresh_group()
    status, headers, _ = await curl(server, f"/location/long/{group}?timeout=100")
    assert status == 204, status
    poll = asyncio.create_task(curl(server, f"/location/long/{group}?since={headers['location-seq']}"))
    _, _, sent = await curl(server, f"/location/long/{group}/notify", "--data", publish_body(1, 2))
    status, headers, body = await soon(poll)
    assert status == 200 and body == sent and headers["location-seq"] == str(read_update(sent)["seq"]), body


@check("--no-buffer shows an SSE stream's events as they come")
async def sse(server):
    group = fresh_group()
    stream = await asyncio.create_subprocess_exec(
        *CURL, "--no-buffer", f"http://{server}/location/sse/{group}", stdout=subprocess.PIPE)
    updates = []
    first = await soon(stream.stdout.readline())
    assert first.startswith(b":"), f"the stream began with {first}"
    for number in range(3):
        await curl(server, f"/location/share/{group}", "--data", publish_body(number, 0))
        while not (line := (await soon(stream.stdout.readline())).decode()).startswith("data: "):
            assert line.split(":")[0].strip() in ("", "id", "event", "retry"), line
        updates.append(read_update(line.removeprefix("data: ").rstrip("\n"), x=number, y=0))
    assert_rising(updates)
    stream.terminate()
    await stream.wait()


@check("several addresses in one run share a connection and are answered in order")
async def keep_alive(server):
    group = fresh_group()
    targets = [f"http://{server}/cur/{group + number}" for number in range(5)]
    process = await asyncio.create_subprocess_exec(
        *CURL, "--data", publish_body(3, 4), "--write-out", "\n%{num_connects}\n", *targets, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    lines = output.decode().split("\n")
    assert [int(count) for count in lines[1::2]] == [1, 0, 0, 0, 0], lines
    for line in lines[0:10:2]:
        read_update(line, x=3, y=4)


if __name__ == "__main__":
    main("curl")
