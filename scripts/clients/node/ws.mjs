// ws: publishing, receiving, ping and pong, close codes, leaving.

import assert from "node:assert/strict";
import WebSocket from "ws";
import { assertRising, check, freshGroup, Inbox, main, readUpdate, soon } from "./checks.mjs";

/** An open connection with its messages, pongs and close in inboxes. */
async function open(server, target) {
  const socket = new WebSocket(`ws://${server}${target}`);
  const client = { socket, messages: new Inbox(), pongs: new Inbox(), closed: new Inbox() };
  socket.on("message", (data, isBinary) => client.messages.put(isBinary ? data : data.toString()));
  socket.on("pong", (payload) => client.pongs.put(payload.toString()));
  socket.on("close", (code, reason) => client.closed.put({ code, reason: reason.toString() }));
  await soon(new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject)), "open");
  return client;
}

check("a text message comes back to its sender and to the others of the group as one update", async (server) => {
  const group = freshGroup();
  const [alice, bob] = [await open(server, `/ws/${group}`), await open(server, `/ws/${group}`)];
  alice.socket.send(JSON.stringify({ x: 12.5, y: 48.25, member: "alice", at: 1767225600123 }));
  const seen = await alice.messages.next("the echo");
  const { seq } = readUpdate(seen, { member: "alice", x: 12.5, y: 48.25, at: 1767225600123 });
  assert.equal(seen, `{"seq":${seq},"member":"alice","x":12.5,"y":48.25,"at":1767225600123}`);
  assert.equal(await bob.messages.next("bob's copy"), seen);
  alice.socket.close();
  bob.socket.close();
});

check("messages sent without waiting come back in order, seqs rising", async (server) => {
  const client = await open(server, `/ws/${freshGroup()}`);
  for (let number = 0; number < 100; number++) client.socket.send(JSON.stringify({ x: number, y: 0.5 }));
  const updates = [];
  for (let number = 0; number < 100; number++) {
    updates.push(readUpdate(await client.messages.next("an update"), { x: number, y: 0.5 }));
  }
  assertRising(updates);
  client.socket.close();
});

check("a ping is answered by a pong with the same payload", async (server) => {
  const client = await open(server, `/ws/${freshGroup()}`);
  client.socket.ping("are you there?");
  assert.equal(await client.pongs.next("the pong"), "are you there?");
  client.socket.close();
});

check("a close is echoed with its code", async (server) => {
  for (const code of [1000, 1001, 3000, 4999]) {
    const client = await open(server, `/ws/${freshGroup()}`);
    client.socket.close(code, "done");
    assert.equal((await client.closed.next("the close")).code, code);
  }
});

check("a binary message is closed with 1003, one over the limit with 1009", async (server) => {
  for (const [message, code] of [[Buffer.from([1]), 1003], ["x".repeat(20_000), 1009]]) {
    const client = await open(server, `/ws/${freshGroup()}`);
    client.socket.send(message);
    assert.equal((await client.closed.next("the close")).code, code);
  }
});

check("fragments of a message are one publish", async (server) => {
  const client = await open(server, `/ws/${freshGroup()}`);
  client.socket.send('{"x":1,', { fin: false });
  client.socket.ping();
  client.socket.send('"y":2}', { fin: true });
  readUpdate(await client.messages.next("the update"), { x: 1, y: 2 });
  client.socket.close();
});

check("a connection's member leaves when it closes or is cut", async (server) => {
  const group = freshGroup();
  const watcher = await open(server, `/ws/${group}`);
  for (const end of ["close", "terminate"]) {
    const alice = await open(server, `/ws/${group}?member=alice`);
    alice.socket.send('{"x":1,"y":2}');
    const here = readUpdate(await watcher.messages.next("alice's update"), { member: "alice", x: 1, y: 2 });
    alice.socket[end]();
    const gone = JSON.parse(await watcher.messages.next("alice's leave"));
    assert.deepEqual([gone.member, gone.left], ["alice", true]);
    assertRising([here, gone]);
  }
  watcher.socket.close();
});

check("since replays what came after it", async (server) => {
  const group = freshGroup();
  const client = await open(server, `/ws/${group}`);
  const sent = [];
  for (let number = 0; number < 4; number++) {
    client.socket.send(JSON.stringify({ x: number, y: 0 }));
    sent.push(await client.messages.next("an update"));
  }
  const late = await open(server, `/ws/${group}?since=${JSON.parse(sent[0]).seq}`);
  for (const expected of sent.slice(1)) assert.equal(await late.messages.next("a replayed update"), expected);
  client.socket.close();
  late.socket.close();
});

await main("ws");
