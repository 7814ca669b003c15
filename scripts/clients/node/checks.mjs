// Runs a client's checks one after another and prints a line for each, as checks.py does for Python.

import assert from "node:assert/strict";
import net from "node:net";

const CHECK_MS_MAX = 30_000;
const WAIT_MS_MAX = 10_000;

const checks = [];
let nextGroup = 1_000_000 + Math.floor(Math.random() * 1e12);

/** Adds a check: an async function that gets the program's argument (for most the server's host:port) and fails by throwing. */
export function check(claim, run) {
  checks.push({ claim, run });
}

/** A group that nobody else talks about. */
export function freshGroup() {
  return nextGroup++;
}

/** The promised value; an error where it does not come. */
export function soon(promise, what = "what was waited for", ms = WAIT_MS_MAX) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Keeps what came until somebody asks for it. */
export class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(item);
    else this.#items.push(item);
  }

  next(what) {
    if (this.#items.length) return Promise.resolve(this.#items.shift());
    return soon(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }
}

/** The update in `text`, held to its exact form: keys and their order, no blanks, and the values given. */
export function readUpdate(text, expected = {}) {
  const update = JSON.parse(text);
  const keys = ["seq", ...("member" in expected ? ["member"] : []), "x", "y", "at"];
  assert.deepEqual(Object.keys(update), keys, text);
  assert.equal(text, JSON.stringify(update), "not in shortest form");
  assert.ok(Number.isSafeInteger(update.seq) && update.seq > 0, text);
  for (const [key, value] of Object.entries(expected)) assert.equal(update[key], value, `${key} in ${text}`);
  return update;
}

/** Seqs strictly increase. */
export function assertRising(updates) {
  const seqs = updates.map((update) => update.seq);
  assert.ok(seqs.every((seq, place) => place === 0 || seqs[place - 1] < seq), `seqs do not rise: ${seqs}`);
}

/** Publishes over HTTP and returns the update that the server answered. */
export async function share(server, group, location) {
  const answer = await fetch(`http://${server}/location/share/${group}`, {
    method: "POST",
    body: JSON.stringify(location),
  });
  assert.equal(answer.status, 200);
  return readUpdate(await answer.text(), location);
}

/** A way to the server whose connections the check can cut, or let stay without passing on a byte, and which it can shut for a while. */
export async function cuttable(server) {
  const [host, port] = server.split(":");
  const sockets = new Set();
  let isShut = false;
  const gate = net.createServer((near) => {
    if (isShut) return near.destroy();
    const far = net.connect(Number(port), host);
    for (const [from, to] of [[near, far], [far, near]]) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise((resolve) => gate.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${gate.address().port}`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    stall: () => sockets.forEach((socket) => socket.unpipe().pause()),
    shut: (wanted) => (isShut = wanted),
    close: () => gate.close(),
  };
}

/** Runs every check with the program's argument; exits 1 if one failed. */
export async function main(client) {
  let failed = 0;
  for (const { claim, run } of checks) {
    try {
      await soon(run(process.argv[2]), "the check's end", CHECK_MS_MAX);
      console.log(`ok    ${client}: ${claim}`);
    } catch (error) {
      failed += 1;
      const where = /([\w-]+\.mjs:\d+)/.exec((error.stack ?? "").replaceAll("checks.mjs", ""))?.[1] ?? "?";
      console.log(`FAIL  ${client}: ${claim}: ${String(error.message).replaceAll("\n", " ").slice(0, 400)} (${where})`);
    }
  }
  process.exit(failed > 0 ? 1 : 0);
}
