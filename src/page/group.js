// What is known of the group: from snapshots, and from what the transport tells that draws.

// A leave stays for a while, so that no older location undoes it.
const LEAVE_KEPT_MS = 30000;
// Further out is no map; it also keeps sums finite, for a location may be any number.
const COORDINATE_MAX = 1e12;
// A dot takes as long to a new place as its last update was ago, so that it moves evenly, but no longer than this.
const GLIDE_MS_MAX = 1000;
const TRAIL_MS = 6000;
const TRAIL_POINTS_MAX = 60;
// Past this a request's connection is taken for dead.
const ANSWER_MS_MAX = 10000;
// What will not change, however often one asks.
const FINAL_STATUSES = [400, 403, 404];

const $ = id => document.getElementById(id);
const say = text => { $('say').textContent = text; };
const form = document.forms[0];
const calm = matchMedia('(prefers-reduced-motion: reduce)');

let group = '';
// Our name: what the form says may be half of one.
let myName = '';
const me = () => myName;
const members = new Map();
// Updates up to this one are in the snapshot already.
let floor = 0;
// When that was asked for: one that was asked for before it knows less, whenever it comes.
let settledFrom = 0;

// Ends early when the signal is aborted or the network is back.
function sleep(ms, signal) {
  return new Promise(resolve => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      removeEventListener('online', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
    addEventListener('online', end);
  });
}

// `parkedMs` is how long the server may take by right.
async function ask(path, { signal, parkedMs = 0, ...options } = {}) {
  const late = AbortSignal.timeout(parkedMs + ANSWER_MS_MAX);
  signal = signal ? AbortSignal.any([signal, late]) : late;
  const answer = await fetch(path, { cache: 'no-store', signal, ...options });
  if (answer.ok || answer.status === 304) return answer;
  const problem = await answer.json().catch(() => ({}));
  const waitMs = Number(answer.headers.get('Retry-After')) * 1000;
  const isFinal = FINAL_STATUSES.includes(answer.status);
  throw Object.assign(Error(problem.detail ?? `the server answered ${answer.status}`), { waitMs, isFinal });
}

// A fetch that reaches nobody fails with a TypeError, one that takes too long with a TimeoutError; each browser has words of its own.
const reason = error => (error instanceof TypeError || error.name === 'TimeoutError' ? 'the server does not answer' : error.message);

async function askSnapshot(signal) {
  const askedAt = performance.now();
  const answer = await ask(`/location/group/${group}`, { signal });
  return { ...await answer.json(), askedAt };
}

// Makes the map what a snapshot says, but for newer updates that came while it was under way.
function settle(snapshot) {
  if (snapshot.askedAt < settledFrom) return;
  settledFrom = snapshot.askedAt;
  const isNewer = member => member?.seen >= snapshot.askedAt && member.seq > snapshot.seq;
  const told = new Map(snapshot.members.map(update => [update.member ?? '', update]));
  for (const [name, member] of members) if (!told.has(name) && !isNewer(member)) members.delete(name);
  for (const [name, update] of told) {
    const member = members.get(name);
    if (member?.seq !== update.seq && !isNewer(member)) move(name, update);
  }
  floor = snapshot.seq;
  if (!isPresent(me())) shareAgain();
  repaint();
}

// For a server that numbers from further back than the one before: what is held is older than all it says.
function forgetNumbers() {
  floor = 0;
  for (const member of members.values()) member.seq = 0;
}

const isPresent = name => members.has(name) && !members.get(name).left;

function learn(update) {
  const name = update.member ?? '';
  // With a gap numbers may have begun anew, and a snapshot is on its way.
  const isOld = update.seq <= floor || members.get(name)?.seq >= update.seq;
  if (isOld && !update.gap) return;
  move(name, update);
  if (update.left && name === me()) shareAgain();
  repaint();
}

function move(name, update) {
  const now = performance.now(), held = members.get(name);
  const bounded = value => Math.max(-COORDINATE_MAX, Math.min(value, COORDINATE_MAX));
  const member = { ...update, x: bounded(update.x), y: bounded(update.y), seen: now, trail: [], glideMs: 0 };
  if (held && !held.left && !update.left) {
    member.from = shownAt(held, now);
    member.glideMs = calm.matches ? 0 : Math.min(now - held.seen, GLIDE_MS_MAX);
    member.trail = [...held.trail.slice(1 - TRAIL_POINTS_MAX), { ...member.from, at: now }];
  }
  members.set(name, member);
}

// Where a member is drawn at a time: on its way from where it was drawn when the update came.
function shownAt({ x, y, from, seen, glideMs }, now) {
  // A frame's time may be before that of an update which came since it began.
  const part = glideMs ? Math.max(0, now - seen) / glideMs : 1;
  return part < 1 ? { x: from.x + (x - from.x) * part, y: from.y + (y - from.y) * part } : { x, y };
}

function forgetLeavesAndTrails(now) {
  for (const [name, member] of members) {
    if (member.left && now - member.seen > LEAVE_KEPT_MS) members.delete(name);
    while (member.trail.length && now - member.trail[0].at > TRAIL_MS) member.trail.shift();
  }
}

// By the golden angle, so that names that differ by little do not look alike.
const hueOf = name => ([...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 99991, 0) * 137.508) % 360;
// Of one lightness whatever the hue, which stands out from a light ground and from a dark one.
const colourOf = name => `oklch(0.62 0.17 ${hueOf(name)})`;
// What cannot be seen, or turns the text around it: with such letters one name would pass for another.
const shownName = name => name.replace(/[\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
// What the page says of a member: in italics, as no name is, so that no name can say it.
const remarkOf = name => [name ? '' : 'nameless', name === me() ? '(you)' : ''].join(' ').trim();
const words = ({ x, y }) => [x, y].map(value => Number(value.toPrecision(7))).join(', ');
