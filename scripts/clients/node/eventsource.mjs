// eventsource: live events, and a reconnect that misses nothing by Last-Event-ID.

import assert from "node:assert/strict";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { assertRising, check, cuttable, freshGroup, Inbox, main, readUpdate, share, soon } from "./checks.mjs";

/** An open stream with its location events in an inbox. */
async function open(address, group) {
  const source = new EventSource(`http://${address}/location/sse/${group}`);
  const events = new Inbox();
  source.addEventListener("location", (event) => events.put(event));
  await soon(new Promise((resolve) => source.addEventListener("open", resolve, { once: true })), "open");
  return { source, events };
}

check("events come as they are published: id, event, data", async (server) => {
  const group = freshGroup();
  const { source, events } = await open(server, group);
  const updates = [];
  for (let number = 0; number < 3; number++) {
    const sent = await share(server, group, { x: number, y: 1.5, member: "alice" });
    const event = await events.next("an event");
    assert.equal(event.lastEventId, String(sent.seq));
    updates.push(readUpdate(event.data, { member: "alice", x: number, y: 1.5 }));
    assert.deepEqual(updates.at(-1), sent);
  }
  assertRising(updates);
  source.close();
});

check("a stream that was cut comes back by itself and misses nothing", async (server) => {
  const group = freshGroup();
  const gate = await cuttable(server);
  const { source, events } = await open(gate.address, group);
  const first = await share(server, group, { x: 0, y: 0 });
  assert.equal((await events.next("the first event")).lastEventId, String(first.seq));
  const cut = new Promise((resolve) => source.addEventListener("error", resolve, { once: true }));
  gate.cut();
  await soon(cut, "the cut");
  const missed = [];
  for (let number = 1; number <= 3; number++) missed.push(await share(server, group, { x: number, y: 0 }));
  const back = new Promise((resolve) => source.addEventListener("open", resolve, { once: true }));
  await soon(back, "the reconnect", 20_000);
  for (const update of missed) {
    assert.deepEqual(readUpdate((await events.next("a missed event")).data), update);
  }
  const live = await share(server, group, { x: 4, y: 0 });
  assert.deepEqual(readUpdate((await events.next("a live event")).data), live);
  source.close();
  gate.close();
});

check("a WebSocket's publish is an event, and wakes a long poll of fetch", async (server) => {
  const group = freshGroup();
  const { source, events } = await open(server, group);
  const asked = await fetch(`http://${server}/location/long/${group}?timeout=1`);
  assert.equal(asked.status, 204);
  const poll = fetch(`http://${server}/location/long/${group}?since=${asked.headers.get("location-seq")}`);
  const socket = new WebSocket(`ws://${server}/ws/${group}`);
  await soon(new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject)), "open");
  socket.send('{"x":1.25,"y":-2}');
  const { data } = await events.next("the event");
  readUpdate(data, { x: 1.25, y: -2 });
  assert.equal(await (await soon(poll, "the long poll")).text(), data);
  socket.close();
  source.close();
});

await main("eventsource");
