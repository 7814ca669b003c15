// The live page in a headless Chromium, against a server of its own that it also kills and starts again. Screenshots go into
// the folder named.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { check, cuttable, freshGroup, main, share, soon } from "./checks.mjs";

const TRANSPORTS = ["short_poll", "long_poll", "sse", "websocket", "stomp"];
const COMPARED = TRANSPORTS.join(",");
const PROBE_MS = 50;
const WAIT_MS_MAX = 10_000;
// The last wait of a client that found nobody a few times in a row.
const RETURN_MS_MAX = 20_000;
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const SERVER_AWAY = /net::ERR_|WebSocket connection to/;

class Server {
  async start(listen = "127.0.0.1:0") {
    const flags = ["--listen", listen, "--log", "warn"];
    this.process = spawn(process.env.SERVER_BINARY, flags, { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await soon(once(createInterface({ input: this.process.stdout }), "line"), "where the server listens");
    this.address = /^listening on http:\/\/(\S+)$/.exec(line)[1];
  }

  get isDown() {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  async end(signal) {
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    await soon(ended, "the server's end");
  }
}

const server = new Server();
await server.start();
process.on("exit", () => server.process.kill("SIGKILL"));
process.on("SIGTERM", () => process.exit(1));
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });

/** The first value that holds, of what `probe` finds again and again. */
async function eventually(what, probe, ms = WAIT_MS_MAX) {
  for (const end = Date.now() + ms; ; await new Promise((resolve) => setTimeout(resolve, PROBE_MS))) {
    const value = await probe();
    if (value) return value;
    assert.ok(Date.now() < end, `${what} did not come within ${ms} ms`);
  }
}

/** The pages of one check, and everything that was wrong with them. */
class Visit {
  faults = [];
  contexts = [];
  /** What a browser says by itself of what the check does. */
  expected = /^$/;

  /** A page in a browser's profile of its own; connections of one profile are few. */
  async open(group, transport, member, { compare = "", address = server.address, hasClock = false, wanted = "live", ...options } = {}) {
    const context = await browser.newContext({ ...DESKTOP, ...options });
    this.contexts.push(context);
    const page = await context.newPage();
    // Whose time can be wound on.
    if (hasClock) await page.clock.install();
    page.on("console", (message) => this.hear(message.type(), message.text()));
    page.on("pageerror", (error) => this.faults.push(error.stack));
    page.requests = [];
    page.on("request", (request) => {
      page.requests.push(request.url());
      this.see(request.url(), address);
    });
    page.on("websocket", (socket) => this.see(socket.url().replace("ws:", "http:"), address));
    const named = encodeURIComponent(member);
    await page.goto(`http://${address}/#group=${group}&transport=${transport}&member=${named}&compare=${compare}`);
    for (const each of compare ? compare.split(",") : [transport]) await state(page, each, wanted);
    return page;
  }

  hear(type, text) {
    if (!["error", "warning"].includes(type)) return;
    // What the checks do to look at the map.
    if (text.includes("willReadFrequently")) return;
    if (this.expected.test(text)) return;
    this.faults.push(`console: ${text}`);
  }

  see(url, address) {
    if (!url.startsWith(`http://${address}/`) && !url.startsWith("data:")) this.faults.push(`it loads ${url}`);
  }
}

function checkPage(claim, run) {
  check(claim, async (folder) => {
    const visit = new Visit();
    try {
      await run(visit, folder);
      assert.deepEqual(visit.faults, []);
    } finally {
      for (const context of visit.contexts) await context.close();
      if (server.isDown) await server.start(server.address);
    }
  });
}

/** A promise, and what fulfils it. */
function deferred() {
  let resolve;
  const promise = new Promise((fulfil) => (resolve = fulfil));
  return { promise, resolve };
}

/** Waits until a transport is in that state. */
const state = (page, transport, wanted, timeout = WAIT_MS_MAX) =>
  page.waitForSelector(`[data-transport=${transport}][data-state=${wanted}]`, { timeout });

const cell = (page, transport, part) => page.textContent(`[data-transport=${transport}] [data-is=${part}]`);

/** What the list of members says of one; nothing if it is not there. */
const listed = (page, member) =>
  page.evaluate((name) => document.querySelector(`#list [data-member="${name}"] span`)?.textContent, member);

/** The middle of a member's dot, in pixels of the map, found by its colour; nothing if it is not there. */
function dot(page, member) {
  return page.evaluate((name) => {
    const swatch = document.querySelector(`#list [data-member="${name}"] i`);
    if (!swatch) return null;
    const one = new OffscreenCanvas(1, 1).getContext("2d");
    one.fillStyle = getComputedStyle(swatch).backgroundColor;
    one.fillRect(0, 0, 1, 1);
    const [colour] = new Uint32Array(one.getImageData(0, 0, 1, 1).data.buffer);
    const canvas = document.querySelector("#map");
    const { width, height } = canvas;
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, width, height).data.buffer);
    let [count, across, down] = [0, 0, 0];
    pixels.forEach((pixel, at) => {
      if (pixel !== colour) return;
      count += 1;
      across += at % width;
      down += Math.floor(at / width);
    });
    return count && { x: across / count / devicePixelRatio, y: down / count / devicePixelRatio };
  }, member);
}

/** Where a point of the map, told in parts of its width and height, is on the screen. */
async function onMap(page, [right, down]) {
  const box = await page.locator("#map").boundingBox();
  return [box.x + box.width * right, box.y + box.height * down];
}

const click = async (page, part) => page.mouse.click(...(await onMap(page, part)));

async function drag(page, from, to) {
  await page.mouse.move(...(await onMap(page, from)));
  await page.mouse.down();
  await page.mouse.move(...(await onMap(page, to)), { steps: 8 });
  await page.mouse.up();
}

/** Members in two corners, so that maps keep their scale. */
async function pin(group) {
  await share(server.address, group, { member: "low", x: 0, y: 0 });
  await share(server.address, group, { member: "high", x: 100, y: 100 });
}

/** Publishes what is no location. */
const tell = (group, said) =>
  fetch(`http://${server.address}/location/share/${group}`, { method: "POST", body: JSON.stringify(said) });

/** How many polls the page has asked whether its streams are still alive. */
const polls = (page) => page.requests.filter((url) => url.includes("&probe")).length;

const snapshot = async (group) => (await fetch(`http://${server.address}/location/group/${group}`)).json();
const present = async (group, member) => (await snapshot(group)).members.find((update) => update.member === member);

for (const transport of TRANSPORTS) {
  checkPage(`${transport}: what is shared in one page by pointer and keys moves a point in another`, async (visit) => {
    const group = freshGroup();
    await pin(group);
    const one = await visit.open(group, transport, "alice");
    const other = await visit.open(group, transport, "bob");

    await click(one, [0.3, 0.6]);
    const first = await eventually("alice's dot", () => dot(other, "alice"));
    await drag(one, [0.3, 0.6], [0.6, 0.3]);
    await eventually("alice's move", async () => {
      const last = await dot(other, "alice");
      return last && last.x > first.x + 40 && last.y < first.y - 40;
    });

    await other.focus("#map");
    await other.keyboard.press("ArrowRight");
    const begun = await eventually("bob's dot", () => dot(one, "bob"));
    for (const key of ["Shift+ArrowRight", "ArrowRight", "Shift+ArrowDown"]) await other.keyboard.press(key);
    await eventually("bob's move", async () => {
      const last = await dot(one, "bob");
      return last && last.x > begun.x + 40 && last.y > begun.y + 40;
    });
    assert.match(await other.textContent("#say"), /^Shared: you are at /);
    assert.match(await other.textContent("#list .you b"), /^bob \(you\)$/);
  });
}

/** How many bytes each update takes by what the page can see of a stream. */
const STREAMED = {
  sse: (json, seq) => `id: ${seq}\nevent: location\ndata: ${json}\n\n`.length,
  websocket: (json) => json.length + 2,
};

/** The figures of a transport's row. */
async function figures(page, transport) {
  const parts = ["rate", "latency", "size", "missed"];
  const told = await Promise.all(parts.map((part) => cell(page, transport, part)));
  return { transport, ...Object.fromEntries(parts.map((part, place) => [part, Number(told[place])])) };
}

checkPage("compared side by side, each transport tells rate, latency, bytes and what it missed", async (visit) => {
  const group = freshGroup();
  const page = await visit.open(group, "websocket", "carol", { compare: COMPARED });
  const updates = [];
  const allFigures = () => Promise.all(TRANSPORTS.map((transport) => figures(page, transport)));
  // A short poll has missed something once it has been asked twice with more than one publish between.
  const all = await eventually("all figures", async () => {
    updates.push(await share(server.address, group, { member: "dave", x: updates.length % 100, y: 50 }));
    const all = await allFigures();
    return all[0].missed > 0 && all.every(({ rate, size, latency }) => rate > 0 && size > 0 && latency < 60_000) && all;
  });
  for (const { transport, missed } of all) assert.equal(missed > 0, transport === "short_poll", `${transport} missed ${missed}`);
  for (const [transport, sizeOf] of Object.entries(STREAMED)) {
    const bytes = updates.reduce((sum, update) => sum + sizeOf(JSON.stringify(update), update.seq), 0);
    const size = Math.round(bytes / updates.length);
    await eventually(`${size} bytes by ${transport}`, async () => (await figures(page, transport)).size === size);
  }
  const size = Object.fromEntries((await allFigures()).map(({ transport, size }) => [transport, size]));
  assert.ok(size.websocket < size.sse && size.sse < size.stomp && size.stomp < size.long_poll, JSON.stringify(size));
});

checkPage("a killed server is come back to, with what was shared and without who has gone", async (visit, folder) => {
  const group = freshGroup();
  const page = await visit.open(group, "stomp", "erin", { compare: COMPARED });
  await share(server.address, group, { member: "frank", x: 10, y: 10 });
  await click(page, [0.5, 0.5]);
  await eventually("erin and frank", async () => (await listed(page, "erin")) && listed(page, "frank"));

  visit.expected = SERVER_AWAY;
  await server.end("SIGKILL");
  for (const transport of TRANSPORTS) {
    await eventually(`${transport} to see it`, async () => /again/.test(await cell(page, transport, "state")));
  }
  await page.screenshot({ path: join(folder, "page-server-away.png") });
  await server.start(server.address);
  for (const transport of TRANSPORTS) await state(page, transport, "live", RETURN_MS_MAX);
  await eventually("erin on the new server", () => present(group, "erin"));
  await eventually("the map without frank", async () => (await listed(page, "erin")) && !(await listed(page, "frank")));
  await share(server.address, group, { member: "frank", x: 20, y: 30 });
  await eventually("frank again", async () => (await listed(page, "frank")) === "20, 30");
  // Streams go on from a cursor that the new server knows nothing of.
  for (const transport of ["sse", "websocket", "stomp"]) {
    await eventually(`the gap of ${transport}`, async () => /, \d gap/.test(await cell(page, transport, "missed")));
  }
});

checkPage("a connection that is cut is caught up with by its cursor", async (visit) => {
  const group = freshGroup();
  const gate = await cuttable(server.address);
  const page = await visit.open(group, "websocket", "fred", { compare: COMPARED, address: gate.address });
  const streams = TRANSPORTS.filter((transport) => transport !== "short_poll");
  await share(server.address, group, { member: "gwen", x: 0, y: 0 });
  await eventually("gwen", () => listed(page, "gwen"));
  visit.expected = SERVER_AWAY;
  gate.cut();
  for (let x = 1; x <= 25; x++) await share(server.address, group, { member: "gwen", x, y: 0 });
  // All of them at once, once it is back: the rate is that of five seconds.
  const caughtUp = async (transport) => (await figures(page, transport)).rate >= 5;
  await Promise.all(streams.map((transport) => eventually(`25 updates by ${transport}`, () => caughtUp(transport))));
  for (const transport of streams) assert.equal(await cell(page, transport, "missed"), "0", transport);
  await eventually("gwen's last place", async () => (await listed(page, "gwen")) === "25, 0");
  gate.close();
});

checkPage("what the server has forgotten meanwhile is told as a gap, and the snapshot makes up for it", async (visit) => {
  const group = freshGroup();
  const gate = await cuttable(server.address);
  const page = await visit.open(group, "long_poll", "hugo", { compare: COMPARED, address: gate.address });
  const streams = TRANSPORTS.filter((transport) => transport !== "short_poll");
  await share(server.address, group, { member: "inga", x: 0, y: 0 });
  await share(server.address, group, { member: "jean", x: 0, y: 0 });
  await eventually("inga and jean", async () => (await listed(page, "inga")) && listed(page, "jean"));
  visit.expected = SERVER_AWAY;
  gate.shut(true);
  gate.cut();
  await tell(group, { member: "jean", left: true });
  // More than a group's history, so that jean's leave has gone from it.
  for (let x = 1; x <= 200; x++) await share(server.address, group, { member: "inga", x, y: 0 });
  gate.shut(false);
  for (const transport of streams) {
    await eventually(`the gap of ${transport}`, async () => /, 1 gap$/.test(await cell(page, transport, "missed")), RETURN_MS_MAX);
  }
  await eventually("inga alone", async () => (await listed(page, "inga")) === "200, 0" && !(await listed(page, "jean")));
  await share(server.address, group, { member: "inga", x: 1, y: 1 });
  await eventually("inga's next place", async () => (await listed(page, "inga")) === "1, 1");
  for (const transport of streams) assert.match(await cell(page, transport, "missed"), /, 1 gap$/, transport);
  gate.close();
});

checkPage("what comes between the snapshots that a gap asks for is on the map", async (visit) => {
  const group = freshGroup();
  const gate = await cuttable(server.address);
  const page = await visit.open(group, "long_poll", "hera", { address: gate.address });
  await share(server.address, group, { member: "iris", x: 0, y: 0 });
  await eventually("iris", () => listed(page, "iris"));
  visit.expected = SERVER_AWAY;
  gate.shut(true);
  gate.cut();
  for (let x = 1; x <= 200; x++) await share(server.address, group, { member: "iris", x, y: 0 });
  // The first knows least and comes last, and there is no third.
  const [known, told] = [deferred(), deferred()];
  let asked = 0;
  await page.route("**/location/group/*", async (route) => {
    const place = ++asked;
    if (place > 2) return route.abort();
    if (place === 2) {
      await known.promise;
      await share(server.address, group, { member: "jade", x: 1, y: 2 });
      await tell(group, { member: "iris", left: true });
    }
    const response = await route.fetch();
    if (place === 1) {
      known.resolve();
      await told.promise;
    }
    await route.fulfill({ response });
    if (place === 2) told.resolve();
  });
  gate.shut(false);
  await eventually("jade", () => listed(page, "jade"), RETURN_MS_MAX);
  await eventually("a third", () => asked > 2);
  assert.ok((await listed(page, "jade")) && !(await listed(page, "iris")), await page.textContent("#list"));
  gate.close();
});

checkPage("a snapshot that is refused is asked for until it comes", async (visit) => {
  const group = freshGroup();
  const gate = await cuttable(server.address);
  const page = await visit.open(group, "websocket", "lena", { address: gate.address });
  await share(server.address, group, { member: "mike", x: 0, y: 0 });
  await eventually("mike", () => listed(page, "mike"));
  visit.expected = /net::ERR_|WebSocket connection to|status of 503/;
  let refused = 0;
  await page.route("**/location/group/*", (route) => {
    refused += 1;
    return refused > 2 ? route.continue() : route.fulfill({ status: 503, json: { detail: "no room" } });
  });
  gate.shut(true);
  gate.cut();
  await tell(group, { member: "mike", left: true });
  for (let x = 1; x <= 200; x++) await share(server.address, group, { member: "nell", x, y: 0 });
  gate.shut(false);
  await eventually("nell alone", async () => (await listed(page, "nell")) && !(await listed(page, "mike")), RETURN_MS_MAX);
  assert.ok(refused > 2, `${refused} snapshots`);
  gate.close();
});

checkPage("a stream that has died without a word is found out, and what it did not tell is told", async (visit) => {
  const group = freshGroup();
  const gate = await cuttable(server.address);
  const streams = ["sse", "websocket", "stomp"];
  const options = { compare: streams.join(","), address: gate.address, hasClock: true };
  const page = await visit.open(group, "stomp", "otto", options);
  await share(server.address, group, { member: "pia", x: 1, y: 1 });
  await eventually("pia", () => listed(page, "pia"));
  gate.stall();
  // Said into the void, and said again.
  await click(page, [0.5, 0.5]);
  await share(server.address, group, { member: "pia", x: 2, y: 2 });
  await page.clock.fastForward(31_000);
  await eventually("a poll", () => polls(page));
  await page.clock.fastForward(6_000);
  await eventually("pia's next place", async () => (await listed(page, "pia")) === "2, 2", RETURN_MS_MAX);
  await eventually("otto", () => present(group, "otto"));
  for (const transport of streams) {
    await state(page, transport, "live");
    assert.equal(await cell(page, transport, "missed"), "0", transport);
  }
  gate.close();
});

checkPage("a quiet stream is left alone", async (visit) => {
  const group = freshGroup();
  const page = await visit.open(group, "websocket", "rosa", { hasClock: true });
  let opened = 0;
  page.on("websocket", () => (opened += 1));
  for (let time = 0; time < 3; time++) {
    await page.clock.fastForward(31_000);
    await eventually("a poll", async () => (await polls(page)) > time);
    await page.clock.fastForward(6_000);
  }
  await share(server.address, group, { member: "saul", x: 3, y: 4 });
  await eventually("saul", () => listed(page, "saul"));
  assert.equal(opened, 0);
});

checkPage("the address of another group, put in the place of this one, leads there", async (visit) => {
  const [group, other] = [freshGroup(), freshGroup()];
  const page = await visit.open(group, "websocket", "tess");
  await share(server.address, other, { member: "ulla", x: 1, y: 1 });
  // Behind the evaluation, which the page's going would break off.
  await page.evaluate((hash) => void setTimeout(() => (location.hash = hash)), `#group=${other}&transport=sse`);
  await page.waitForSelector("#list [data-member=ulla]", { timeout: WAIT_MS_MAX });
  await state(page, "sse", "live");
});

checkPage("a server that stops in order says so, and the next one is found", async (visit) => {
  const page = await visit.open(freshGroup(), "websocket", "gina");
  visit.expected = SERVER_AWAY;
  const told = () => cell(page, "websocket", "state");
  const words = eventually("the reason", async () => /server is restarting\. Trying again/.test(await told()));
  const ended = server.end("SIGTERM");
  await words;
  await ended;
  await server.start(server.address);
  await state(page, "websocket", "live", RETURN_MS_MAX);
});

checkPage("the real location is shared while its button is pressed, and only then", async (visit) => {
  const group = freshGroup();
  const geolocation = { longitude: 13.40497, latitude: 52.52004 };
  const page = await visit.open(group, "sse", "hana", { permissions: ["geolocation"], geolocation });
  const [context] = visit.contexts;
  assert.deepEqual((await snapshot(group)).members, []);
  await page.click("#watch");
  const { x, y } = await eventually("the location", () => present(group, "hana"));
  // Rounded to a ten-thousandth of a degree.
  assert.deepEqual([x, y], [13.405, 52.52]);
  assert.equal(await page.getAttribute("#watch", "aria-pressed"), "true");
  await context.setGeolocation({ longitude: -13.5, latitude: -52.5 });
  await eventually("the next one", async () => (await present(group, "hana"))?.x === -13.5);
  await page.click("#watch");
  await eventually("the leave", async () => !(await present(group, "hana")));
  assert.equal(await page.getAttribute("#watch", "aria-pressed"), "false");
});

checkPage("who stops sharing leaves the others' maps, and who takes a new name leaves under the old one", async (visit) => {
  const group = freshGroup();
  const one = await visit.open(group, "websocket", "ivan");
  const other = await visit.open(group, "long_poll", "judy");
  await click(one, [0.4, 0.4]);
  await eventually("ivan", () => listed(other, "ivan"));
  await one.fill("[name=member]", "igor");
  await one.keyboard.press("Enter");
  await eventually("igor alone", async () => (await listed(other, "igor")) && !(await listed(other, "ivan")));
  await one.click("#leave");
  await eventually("igor's leave", async () => !(await listed(other, "igor")));
});

checkPage("another transport takes over without a leave, and the map goes on", async (visit) => {
  const group = freshGroup();
  const page = await visit.open(group, "sse", "kate");
  await click(page, [0.4, 0.4]);
  await eventually("kate", () => present(group, "kate"));
  const reader = new AbortController();
  const heard = await fetch(`http://${server.address}/location/sse/${group}?last_event_id=0`, { signal: reader.signal });
  let text = "";
  const keep = new WritableStream({ write: (part) => { text += Buffer.from(part).toString(); } });
  heard.body.pipeTo(keep).catch(() => {});
  let before = "sse";
  for (const transport of ["websocket", "stomp"]) {
    await page.check(`[data-transport=${transport}] [type=radio]`);
    await state(page, transport, "live");
    await state(page, before, "off");
    const { x } = await share(server.address, group, { member: "liam", x: transport.length, y: 0 });
    await eventually(`liam by ${transport}`, async () => (await listed(page, "liam")) === `${x}, 0`);
    before = transport;
  }
  reader.abort();
  assert.ok(text.includes('"member":"liam"') && !text.includes('"left":true'), text);
});

checkPage("what is chosen and unchosen at once, or is no group, ends as the form says", async (visit) => {
  const page = await visit.open(freshGroup(), "sse", "mona");
  for (let time = 0; time < 3; time++) await page.click("#all");
  for (const transport of TRANSPORTS) await state(page, transport, "live");
  await page.click("#all");
  for (const transport of TRANSPORTS) await state(page, transport, transport === "sse" ? "live" : "off");
  await page.fill("[name=group]", "three");
  await page.press("[name=group]", "Tab");
  await state(page, "sse", "off");
  assert.match(await page.textContent("#say"), /^A group is a whole number/);
  await page.fill("[name=group]", String(freshGroup()));
  await page.press("[name=group]", "Tab");
  await state(page, "sse", "live");
});

checkPage("names of markup and locations out of all bounds are shown", async (visit) => {
  const group = freshGroup();
  const page = await visit.open(group, "stomp", "<i>me</i>");
  for (const [member, x, y] of [["<img src=/a>", 1e308, -1e308], ["null", 5e-324, 0], ["far", -1e308, 1e308]]) {
    const body = JSON.stringify({ member, x, y });
    assert.equal((await fetch(`http://${server.address}/location/share/${group}`, { method: "POST", body })).status, 200);
    await eventually(member, () => listed(page, member));
  }
  assert.equal(await page.locator("#list img").count(), 0);
  await click(page, [0.5, 0.5]);
  await eventually("the own dot", () => dot(page, "<i>me</i>"));
});

/** Types into a field of the form; what the page says of it at once, and the state that it comes to when the field is left. */
async function enter(page, field, text, wanted) {
  await page.fill(`[name=${field}]`, text);
  const said = await page.textContent("#say");
  await page.press(`[name=${field}]`, "Tab");
  await state(page, await page.getAttribute("tbody:has([type=radio]:checked)", "data-transport"), wanted);
  return said;
}

checkPage("a name or group that the server would never take is told as it is typed, and nothing connects with it", async (visit) => {
  const group = freshGroup();
  const page = await visit.open(group, "long_poll", "vera", { hasClock: true });
  // In bytes of UTF-8, and not in letters.
  for (const [field, fitting, over, words] of [
    ["member", "é".repeat(32), "é".repeat(33), /^A name is at most 64 bytes of UTF-8, .*; this is 66 bytes\.$/],
    ["group", "9223372036854775807", "9223372036854775808", /^A group is a whole number from 0 to 9223372036854775807\.$/],
  ]) {
    assert.match(await enter(page, field, over, "off"), words);
    const asked = page.requests.length;
    await click(page, [0.5, 0.5]);
    await page.clock.fastForward(60_000);
    assert.match(await page.textContent("#say"), words);
    assert.equal(page.requests.length, asked, field);
    await enter(page, field, fitting, "live");
  }
  await click(page, [0.5, 0.5]);
  await eventually("the longest name", () => present("9223372036854775807", "é".repeat(32)));
});

checkPage("a name or group of the address that the server would never take is told, and nothing connects with it", async (visit) => {
  for (const [group, name, words] of [
    [freshGroup(), "é".repeat(40), /^A name is at most 64 bytes/],
    [freshGroup(), "a\tb", /without control characters/],
    ["9223372036854775808", "wim", /^A group is /],
  ]) {
    const page = await visit.open(group, "stomp", name, { wanted: "off" });
    assert.match(await page.textContent("#say"), words);
    assert.deepEqual(page.requests.filter((url) => url.includes("/location")), []);
    await page.fill("[name=group]", String(freshGroup()));
    await enter(page, "member", "wim", "live");
  }
});

checkPage("what a request is refused for good is not asked again until something else is chosen", async (visit) => {
  const page = await visit.open(freshGroup(), "sse", "xena", { compare: COMPARED, hasClock: true });
  visit.expected = /status of 40[034]/;
  let asked = 0;
  for (const status of [400, 403, 404]) {
    await page.route("**/location/group/*", (route) => {
      asked += 1;
      return route.fulfill({ status, json: { detail: `no ${status} here` } });
    });
    await enter(page, "member", `xena-${status}`, "refused");
    for (const transport of TRANSPORTS) {
      await state(page, transport, "refused");
      assert.match(await cell(page, transport, "state"), new RegExp(`^No ${status} here\\. Refused, until you choose `));
    }
    const before = asked;
    await page.clock.fastForward(60_000);
    assert.equal(asked, before);
    await page.unroute("**/location/group/*");
    await enter(page, "member", "xena", "live");
    for (const transport of TRANSPORTS) await state(page, transport, "live");
  }
});

checkPage("what STOMP is refused for good is not asked again, and a server that goes down is", async (visit) => {
  const page = await visit.open(freshGroup(), "stomp", "yuri", { hasClock: true });
  const errors = ["ERROR\nmessage:draining\n\nthe server is draining", "ERROR\nmessage:bad\n\nno such member"];
  let opened = 0;
  await page.routeWebSocket("**/location", (socket) => {
    const error = errors[opened++];
    if (!error) return void socket.connectToServer();
    socket.onMessage((text) => {
      if (text.startsWith("CONNECT")) socket.send(`${error}\0`);
    });
  });
  await page.reload();
  await state(page, "stomp", "waiting");
  await page.clock.fastForward(2_000);
  await state(page, "stomp", "refused");
  assert.match(await page.textContent("#say"), /^No such member\. Refused, /);
  await page.clock.fastForward(60_000);
  assert.equal(opened, 2);
  await enter(page, "member", "yuri", "live");
});

/** What the list says of each: the name, and what the page says by itself. */
const named = (page) =>
  page.evaluate(() => {
    const rows = [...document.querySelectorAll("#list li")];
    return rows.map((row) => ["bdi", "em"].map((part) => row.querySelector(part).textContent));
  });

checkPage("no name can pass for another, for the nameless or for oneself", async (visit) => {
  const group = freshGroup();
  const page = await visit.open(group, "websocket", "alice");
  await page.evaluate(() => {
    const { fillText } = CanvasRenderingContext2D.prototype;
    window.painted = new Map();
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
      painted.set(text, this.font);
      return fillText.call(this, text, ...place);
    };
  });
  await click(page, [0.5, 0.5]);
  const unseen = "\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\ufeff";
  for (const member of [undefined, "nameless", "alice (you)", `${unseen}alice`]) await tell(group, { member, x: 1, y: 2 });
  const shown = `${"\ufffd".repeat(unseen.length)}alice`;
  const rows = await eventually("all five", async () => {
    const rows = await named(page);
    return rows.length === 5 && rows;
  });
  const wanted = [["", "nameless"], ["alice", "(you)"], ["alice (you)", ""], ["nameless", ""], [shown, ""]];
  assert.deepEqual(rows.sort(), wanted.sort());
  const fonts = await page.evaluate(() => Object.fromEntries(painted));
  for (const text of ["alice", "alice (you)", shown]) assert.ok(!fonts[text].includes("italic"), `${text}: ${fonts[text]}`);
  assert.ok(fonts["(you)"].includes("italic") && !fonts[`${unseen}alice`], JSON.stringify(fonts));
  const style = (part) => page.evaluate((tag) => {
    const { fontStyle, unicodeBidi } = getComputedStyle(document.querySelector(`#list ${tag}`));
    return { fontStyle, unicodeBidi };
  }, part);
  assert.deepEqual(await style("bdi"), { fontStyle: "normal", unicodeBidi: "isolate" });
  assert.equal((await style("em")).fontStyle, "italic");
});

checkPage("who is far out of all bounds is left off the map, and half of the group is not", async (visit) => {
  const page = await visit.open(freshGroup(), "sse", "zara");
  for (const [places, off, apart] of [
    [[[0, 0], [100, 100], [1e22, 50]], "c", "ab"],
    [[[0, 0], [1, 1], [2, 0], [1000, 1000], [1001, 1001], [1002, 1000]], "", "cf"],
    [[[5, 5], [5, 5], [900, 5]], "", "bc"],
    [[[5, 5], [5, 5], [5, 5], [900, 5], [-1e300, 5]], "e", "cd"],
  ]) {
    const group = freshGroup();
    for (const [place, [x, y]] of places.entries()) await tell(group, { member: "abcdef"[place], x, y });
    await enter(page, "group", String(group), "live");
    await eventually(`"${off}" off the map of ${places}`, async () => {
      const rows = await named(page);
      const told = rows.filter(([, remark]) => remark === "(off the map)").map(([name]) => name);
      return rows.length === places.length && told.join("") === off;
    });
    const [left, right] = await Promise.all([...apart].map((name) => dot(page, name)));
    assert.ok(left && right && right.x - left.x > 100, JSON.stringify([places, left, right]));
  }
});

for (const [reducedMotion, isCalm] of [["no-preference", false], ["reduce", true]]) {
  checkPage(`with prefers-reduced-motion: ${reducedMotion} a point ${isCalm ? "jumps" : "glides"}`, async (visit) => {
    const group = freshGroup();
    await pin(group);
    const page = await visit.open(group, "websocket", "mary", { reducedMotion });
    await share(server.address, group, { member: "nora", x: 10, y: 50 });
    const first = await eventually("nora's dot", () => dot(page, "nora"));
    // The way takes as long as the last update is ago.
    await page.waitForTimeout(1000);
    await share(server.address, group, { member: "nora", x: 90, y: 50 });
    const seen = new Set();
    let rested = 0;
    await eventually("the end of the way", async () => {
      const x = Math.round((await dot(page, "nora")).x);
      rested = seen.has(x) && x > first.x + 100 ? rested + 1 : 0;
      seen.add(x);
      return rested > 5;
    });
    const between = [...seen].filter((x) => x > first.x + 5 && x < Math.max(...seen) - 5);
    assert.equal(between.length > 0, !isCalm, `seen at ${[...seen]}`);
  });
}

checkPage("everything is reached by Tab, has a name, and shows that it has the focus", async (visit) => {
  const page = await visit.open(freshGroup(), "sse", "olga");
  await click(page, [0.5, 0.5]);
  await page.evaluate(() => document.activeElement.blur());
  await page.click("h1");
  const reached = [];
  for (let stop = 0; stop < 40; stop++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const each = document.activeElement;
      const name = each.ariaLabel || each.labels?.[0]?.textContent.trim() || each.textContent.trim();
      const { outlineStyle, outlineWidth } = getComputedStyle(each);
      return { tag: each.localName, name, hasRing: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
    });
    if (focused.tag === "body" || focused.name === reached[0]) break;
    assert.ok(focused.name && focused.hasRing, JSON.stringify(focused));
    reached.push(focused.name);
  }
  assert.deepEqual(reached, [
    "Group", "Your name", "Map of the group's members", "Use my real location", "Stop sharing",
    "listen by short poll", "listen by long poll", "SSE", "listen by WebSocket", "listen by STOMP",
    "Compare all five", "How the rest is counted",
  ]);
});

/** Runs in the page: what leaves the screen or its box, and what is too small for a finger. */
function layoutFaults() {
  const found = [];
  const SLACK = 1.5;
  const TARGET_MIN = 24;
  const text = (each) => each.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
  const say = (what, each) => found.push(`${what}: <${each.localName}> ${text(each)}`);
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) found.push(`the page is ${scrollWidth} wide on a screen of ${innerWidth}`);
  for (const each of document.querySelectorAll("header *, main *")) {
    const box = each.getBoundingClientRect();
    if (box.width && (box.left < -SLACK || box.right > innerWidth + SLACK)) say("it leaves the screen", each);
    const isOver = each.clientWidth && each.scrollWidth > each.clientWidth + SLACK;
    if (isOver && getComputedStyle(each).overflowX === "visible") say("it holds more than its width", each);
  }
  for (const each of document.querySelectorAll("input, button, summary")) {
    const { width, height } = (each.closest("label") ?? each).getBoundingClientRect();
    if (width < TARGET_MIN || height < TARGET_MIN) say(`it is ${width} by ${height}`, each);
  }
  return found;
}

const WALKERS = ["ada", "ben", "cleo", "dan", "eva", "finn"];

/** Six members on circles of their own, moved a little further. */
async function walk(group, step) {
  await Promise.all(WALKERS.map((member, place) => {
    const [angle, radius] = [step / (6 + place) + place, 12 + 5 * place];
    const [x, y] = [50 + radius * Math.cos(angle), 50 + radius * Math.sin(angle)].map((value) => Math.round(value * 100) / 100);
    return share(server.address, group, { member, x, y });
  }));
}

for (const [size, device] of [["1280", DESKTOP], ["390", PHONE]]) {
  for (const colorScheme of ["light", "dark"]) {
    checkPage(`at ${size} pixels, ${colorScheme}, nothing is cut off`, async (visit, folder) => {
      const group = 3;
      // Or they would come from where the check before left them.
      for (const member of [...WALKERS, "you"]) await tell(group, { member, left: true });
      const page = await visit.open(group, "websocket", "you", { ...device, colorScheme, compare: COMPARED });
      for (let step = 0; step < 20; step++) {
        await walk(group, step);
        await page.waitForTimeout(100);
      }
      const spot = await onMap(page, [0.55, 0.55]);
      await (device.hasTouch ? page.touchscreen.tap(...spot) : page.mouse.click(...spot));
      await eventually("the own dot", () => dot(page, "you"));
      for (let step = 20; step < 40; step++) {
        await walk(group, step);
        await page.waitForTimeout(100);
      }
      await page.screenshot({ path: join(folder, `page-${size}-${colorScheme}.png`), fullPage: true });
      await page.click("summary");
      assert.deepEqual(await page.evaluate(layoutFaults), []);
    });
  }
}

mkdirSync(process.argv[2], { recursive: true });
await main("page");
