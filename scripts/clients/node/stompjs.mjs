// @stomp/stompjs: versions, receipts, acks, transactions, heart-beats, binary frames, two groups.

import assert from "node:assert/strict";
import { Client, Versions } from "@stomp/stompjs";
import WebSocket from "ws";
import { assertRising, check, freshGroup, Inbox, main, readUpdate, share, soon } from "./checks.mjs";

const VERSIONS = ["1.0", "1.1", "1.2"];

/** A connected client; `options` are the library's own. */
async function open(server, version = "1.2", options = {}) {
  const errors = new Inbox();
  const client = new Client({
    webSocketFactory: () => new WebSocket(`ws://${server}/location`, new Versions([version]).protocolVersions()),
    stompVersions: new Versions([version]),
    heartbeatIncoming: 0,
    heartbeatOutgoing: 0,
    reconnectDelay: 0,
    onStompError: (frame) => errors.put(frame),
    ...options,
  });
  const connected = new Promise((resolve) => (client.onConnect = resolve));
  client.activate();
  const frame = await soon(connected, "CONNECTED");
  assert.equal(frame.headers.version, version);
  assert.equal(client.connectedVersion, version);
  return { client, errors, close: () => client.deactivate() };
}

/** The receipt of what `send` does with the receipt header it is given. */
function receipt(client, send) {
  const name = `receipt-${freshGroup()}`;
  const came = new Promise((resolve) => client.watchForReceipt(name, resolve));
  send({ receipt: name });
  return soon(came, "the receipt");
}

/** Subscribes, waits until that has happened, and keeps the messages. */
async function subscribe(client, group, headers = {}) {
  const messages = new Inbox();
  let subscription;
  await receipt(client, (asked) => {
    subscription = client.subscribe(`/sub/location/${group}`, (message) => messages.put(message), {
      ...asked,
      ...headers,
    });
  });
  return { subscription, messages };
}

function publish(client, group, location, headers = {}) {
  client.publish({ destination: `/pub/share/${group}`, body: JSON.stringify(location), headers });
}

for (const version of VERSIONS) {
  check(`a publish is received by its sender and another, in ${version}`, async (server) => {
    const group = freshGroup();
    const [alice, bob] = [await open(server, version), await open(server)];
    const [hers, his] = [await subscribe(alice.client, group), await subscribe(bob.client, group)];
    publish(alice.client, group, { x: 12.5, y: 48, member: "alice" });
    const message = await hers.messages.next("the message");
    readUpdate(message.body, { member: "alice", x: 12.5, y: 48 });
    assert.equal(message.headers.destination, `/sub/location/${group}`);
    assert.match(message.headers["content-type"], /^application\/json/);
    assert.equal((await his.messages.next("bob's copy")).body, message.body);
    await Promise.all([alice.close(), bob.close()]);
  });

  check(`receipts come for SEND, UNSUBSCRIBE and DISCONNECT, in ${version}`, async (server) => {
    const group = freshGroup();
    const bye = new Inbox();
    const { client, close } = await open(server, version, { onDisconnect: (frame) => bye.put(frame) });
    const { subscription, messages } = await subscribe(client, group);
    await receipt(client, (asked) => publish(client, group, { x: 1, y: 2 }, asked));
    await messages.next("the message");
    await receipt(client, (asked) => subscription.unsubscribe(asked));
    await close();
    assert.equal((await bye.next("the receipt of DISCONNECT")).command, "RECEIPT");
  });

  check(`an acknowledged subscription goes on past its prefetch count, in ${version}`, async (server) => {
    const group = freshGroup();
    const { client, close } = await open(server, version);
    // Five messages pass one by one where scripts/interop allows two to be unanswered (--prefetch-count 2).
    const mode = version === "1.0" ? "client" : "client-individual";
    const { messages } = await subscribe(client, group, { ack: mode });
    const updates = [];
    for (let number = 0; number < 5; number++) {
      await share(server, group, { x: number, y: 0 });
      const message = await messages.next("a message");
      updates.push(readUpdate(message.body, { x: number, y: 0 }));
      if (number % 2 && version !== "1.0") message.nack();
      else message.ack();
      // A receipt behind the answer: the server has taken it before the next publish.
      await receipt(client, (asked) => client.publish({ destination: `/pub/share/${group + 1e13}`, body: '{"x":0,"y":0}', headers: asked }));
    }
    assertRising(updates);
    await close();
  });

  check(`a committed transaction is published, an aborted one is not, in ${version}`, async (server) => {
    const group = freshGroup();
    const { client, close } = await open(server, version);
    const { messages } = await subscribe(client, group);
    const dropped = client.begin();
    publish(client, group, { x: 1, y: 0 }, { transaction: dropped.id });
    dropped.abort();
    const kept = client.begin();
    publish(client, group, { x: 2, y: 0 }, { transaction: kept.id });
    publish(client, group, { x: 3, y: 0 });
    kept.commit();
    readUpdate((await messages.next("what was outside")).body, { x: 3, y: 0 });
    readUpdate((await messages.next("what was committed")).body, { x: 2, y: 0 });
    await close();
  });
}

check("binary messages and bodies are read", async (server) => {
  const group = freshGroup();
  const { client, close } = await open(server, "1.2", { forceBinaryWSFrames: true });
  const { messages } = await subscribe(client, group);
  client.publish({ destination: `/pub/share/${group}`, binaryBody: new TextEncoder().encode('{"x":1,"y":2}') });
  readUpdate((await messages.next("the message")).body, { x: 1, y: 2 });
  await close();
});

check("two groups on one connection stay apart, and leaving one keeps the other", async (server) => {
  const [one, two] = [freshGroup(), freshGroup()];
  const { client, close } = await open(server);
  const [first, second] = [await subscribe(client, one), await subscribe(client, two)];
  publish(client, two, { x: 2, y: 2 });
  readUpdate((await second.messages.next("the second's message")).body, { x: 2, y: 2 });
  publish(client, one, { x: 1, y: 1 });
  readUpdate((await first.messages.next("the first's message")).body, { x: 1, y: 1 });
  await receipt(client, (asked) => first.subscription.unsubscribe(asked));
  publish(client, one, { x: 3, y: 3 });
  publish(client, two, { x: 4, y: 4 });
  readUpdate((await second.messages.next("the second's message")).body, { x: 4, y: 4 });
  await close();
});

check("heart-beats, asked for at half a second each way, keep a silent connection", async (server) => {
  const group = freshGroup();
  const beats = new Inbox();
  const { client, close } = await open(server, "1.2", {
    heartbeatIncoming: 500,
    heartbeatOutgoing: 500,
    debug: (line) => line.includes("PONG") && beats.put(line),
  });
  for (let number = 0; number < 5; number++) await beats.next("a heart-beat");
  assert.ok(client.connected);
  const { messages } = await subscribe(client, group);
  publish(client, group, { x: 1, y: 1 });
  readUpdate((await messages.next("the message")).body, { x: 1, y: 1 });
  await close();
});

check("a subscription id with a colon, a backslash and a line end comes back as it was", async (server) => {
  const group = freshGroup();
  const { client, close } = await open(server);
  // Not a backslash before c, n or r: the library unescapes by one replacement after the other.
  const { messages } = await subscribe(client, group, { id: "a:b\\d\ne" });
  publish(client, group, { x: 1, y: 1 });
  assert.equal((await messages.next("the message")).headers.subscription, "a:b\\d\ne");
  await close();
});

check("a publish to nowhere gets an ERROR", async (server) => {
  const { client, errors, close } = await open(server);
  client.publish({ destination: "/nowhere", body: "{}" });
  assert.ok((await errors.next("the ERROR")).headers.message);
  await close();
});

check("a publish over HTTP is a message", async (server) => {
  const group = freshGroup();
  const { client, close } = await open(server);
  const { messages } = await subscribe(client, group);
  const sent = await share(server, group, { x: 7, y: 8, member: "carol" });
  assert.deepEqual(readUpdate((await messages.next("the message")).body, { member: "carol" }), sent);
  await close();
});

await main("stompjs");
