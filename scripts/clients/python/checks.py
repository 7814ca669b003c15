"""Runs a client's checks one after another and prints a line for each.

A check is a function that takes the server's address (host:port) and fails by raising. A program adds its checks
with `@check("what must hold")` and ends with `main("client")`; scripts/interop counts the lines.
"""

import asyncio
import inspect
import itertools
import json
import random
import sys
import traceback

# One check's limit: the longest, heart-beats that outlive the tolerance, takes some 3 s.
CHECK_SECONDS_MAX = 30
# An update sent to somebody who listens is there within milliseconds; ten seconds on the slowest machine.
WAIT_SECONDS_MAX = 10

_checks = []
_groups = itertools.count(random.randrange(10**6, 10**12))


def check(claim):
    """Adds the decorated function, plain or async, as the check of `claim`, if its file is the program."""
    def add(function):
        if function.__module__ == "__main__":
            _checks.append((claim, function))
        return function
    return add


def fresh_group():
    """A group that nobody else talks about."""
    return next(_groups)


async def soon(awaitable):
    """The awaited value; a TimeoutError where it does not come."""
    return await asyncio.wait_for(awaitable, WAIT_SECONDS_MAX)


def publish_body(x, y, **more):
    """A publish as a client writes it; `more` may hold member and at."""
    return json.dumps({"x": x, "y": y, **more})


def read_update(text, *, member=None, x=None, y=None, at=None, gap=False):
    """The update in `text`, held to its exact form: keys and their order, no blanks, and the values given."""
    update = json.loads(text)
    expected = ["seq"] + ["member"] * (member is not None) + ["x", "y", "at"] + ["gap"] * gap
    assert list(update) == expected, f"keys {list(update)}, expected {expected} in {text}"
    assert text == json.dumps(update, separators=(",", ":"), ensure_ascii=False), f"not in shortest form: {text}"
    assert 0 < update["seq"] < 2**53, f"seq {update['seq']}"
    for key, value in {"member": member, "x": x, "y": y, "at": at}.items():
        assert value is None or update[key] == value, f"{key} is {update[key]!r}, expected {value!r}"
    assert update.get("gap", True) is True, f"gap is {update['gap']!r}"
    return update


def read_leave(text, *, member):
    """The update in `text` that tells that `member` left."""
    update = json.loads(text)
    assert list(update)[:4] == ["seq", "member", "left", "at"], f"no leave: {text}"
    assert update["member"] == member and update["left"] is True, f"no leave of {member}: {text}"
    return update


def assert_rising(updates):
    """Seqs strictly increase."""
    seqs = [update["seq"] for update in updates]
    assert all(a < b for a, b in zip(seqs, seqs[1:])), f"seqs do not rise: {seqs}"


async def _run(function, server):
    if inspect.iscoroutinefunction(function):
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            await function(server)
    else:
        function(server)


def main(client):
    """Runs every check against the server named by the first argument; exits 1 if one failed."""
    failed = 0
    for claim, function in _checks:
        try:
            asyncio.run(_run(function, sys.argv[1]))
            print(f"ok    {client}: {claim}", flush=True)
        except Exception as error:  # Whatever it was, it is this check's failure and not the next one's.
            failed += 1
            line = traceback.extract_tb(error.__traceback__)
            here = next((f"{frame.filename.rsplit('/', 1)[1]}:{frame.lineno}" for frame in reversed(line)
                         if "/clients/python/" in frame.filename and not frame.filename.endswith("checks.py")), "?")
            print(f"FAIL  {client}: {claim}: {type(error).__name__}: {str(error)[:400]} ({here})", flush=True)
    sys.exit(failed > 0)
