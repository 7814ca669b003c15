"""Builds, starts, watches and stops the server for the scripts that measure it; the standard library only.

SERVER_BINARY names another binary than the one that `cargo build --release` makes.
"""

import os
import pathlib
import re
import resource
import select
import signal
import subprocess
import sys
import time
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
START_SECONDS_MAX = 10
STOP_SECONDS_MAX = 15
# Between two looks at the metrics while waiting for a count.
LOOK_SECONDS = 0.05


def build():
    """The path of the release binary, built unless somebody named one."""
    if binary := os.environ.get("SERVER_BINARY"):
        return binary
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=REPOSITORY, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return str(target / "release" / "geoloop")


def raise_descriptor_limit():
    """Lets this process have as many sockets as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Server:
    """A running server, for the length of a `with`."""

    def __init__(self, binary, *flags):
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--log", "warn", *flags], stdout=subprocess.PIPE, text=True)
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS_MAX)
        line = self.process.stdout.readline() if readable else ""
        found = re.fullmatch(r"listening on http://(127\.0\.0\.1):(\d+)\n", line)
        if not found:
            self.process.kill()
            sys.exit(f"the server did not say where it listens within {START_SECONDS_MAX} s: {line!r}")
        self.address = (found[1], int(found[2]))
        # A proxy that the environment names has no business between this machine and itself.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        # A second signal stops at once: the connections are the script's own, and it is done with them.
        for _ in range(2):
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX / 2)
                return
            except subprocess.TimeoutExpired:
                pass
        self.process.kill()
        self.process.wait()

    def gauge(self, name, transport):
        """The sum of the series `name` with that transport."""
        url = f"http://{self.address[0]}:{self.address[1]}/metrics"
        with self.opener.open(url, timeout=10) as answer:
            text = answer.read().decode()
        series = re.findall(rf'^{name}{{[^}}]*transport="{transport}"[^}}]*}} (\S+)$', text, re.MULTILINE)
        return int(sum(map(float, series)))

    def await_gauge(self, name, transport, value, seconds_max=30):
        """Looks at the metrics until the gauge has the value."""
        end = time.monotonic() + seconds_max
        while (seen := self.gauge(name, transport)) != value:
            if time.monotonic() > end:
                sys.exit(f'{name}{{transport="{transport}"}} is {seen} after {seconds_max} s, not {value}')
            time.sleep(LOOK_SECONDS)

    def resident_bytes(self):
        """Resident memory, as the page tables have it: VmRSS of /proc/PID/status lags by some pages a thread."""
        for name, key in (("smaps_rollup", "Rss"), ("status", "VmRSS")):
            try:
                text = pathlib.Path(f"/proc/{self.process.pid}/{name}").read_text()
                return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024
            except OSError:
                continue
        sys.exit("/proc tells nothing of the server's memory")
