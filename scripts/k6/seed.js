// The study's load, for k6: 20 s up to 300 users, 30 s up to USERS, 10 s down to 0, on one transport or on all at once.
//
//   k6 run -e USERS=1000 -e TRANSPORT=short_poll -e TARGET=127.0.0.1:8080 scripts/k6/seed.js
//
// TRANSPORT is short_poll, long_poll, sse, websocket, stomp or all (USERS of each). A user's round makes the requests
// of the study's script, in their order; what was wrong with that script is put right where it stood, and said there.
// Nothing of an answer went unread here: statuses, bodies, and that the updates of a user's group follow each other.
import { check, sleep } from 'k6';
import http from 'k6/http';
import ws from 'k6/ws';
import { Counter } from 'k6/metrics';

const TRANSPORTS = ['short_poll', 'long_poll', 'sse', 'websocket', 'stomp'];
const USERS = Number(__ENV.USERS || 1000);
const TRANSPORT = __ENV.TRANSPORT || 'short_poll';
const TARGET = __ENV.TARGET || '127.0.0.1:8080';
const PAUSE_SECONDS = 3;

if (!Number.isInteger(USERS) || USERS < 1) {
  throw new Error(`USERS is a number of users, not ${__ENV.USERS}`);
}
if (TRANSPORT !== 'all' && !TRANSPORTS.includes(TRANSPORT)) {
  throw new Error(`TRANSPORT is ${TRANSPORTS.join(', ')} or all, not ${TRANSPORT}`);
}

// The study called its five tests in turn from one function, but a WebSocket's blocks until it closes: the last two
// were never reached. Here each is a scenario of its own.
const scenarioOf = (transport) => ({
  executor: 'ramping-vus',
  exec: transport,
  startVUs: 1,
  stages: [
    { duration: '20s', target: 300 },
    { duration: '30s', target: USERS },
    { duration: '10s', target: 0 },
  ],
  gracefulRampDown: '30s',
  gracefulStop: '30s',
});

export const options = {
  scenarios: Object.fromEntries(
    TRANSPORTS.filter((transport) => TRANSPORT === 'all' || TRANSPORT === transport)
      .map((transport) => [transport, scenarioOf(transport)])),
  thresholds: { checks: ['rate==1'] },
};

// A long poll that nobody wakes ends with 204. The study took both for the same success; here they are told apart.
const polls200 = new Counter('polls_200');
const polls204 = new Counter('polls_204');

// Once a user, as in the study: every user is a module of its own.
const group = Math.floor(Math.random() * 10) + 1;
let newest = 0;

// An update as its bytes are promised: these keys, x and y in the field that locations are made up in. `gap` says that
// this reader was too slow for some updates before it, which is no fault of this one. An expression reads it in less
// than half the time that JSON.parse and looking at it take, and ten thousand users are told five million.
const PLACE = '(?:\\d|[1-9]\\d)(?:\\.\\d+)?(?:e-\\d+)?';
const UPDATE = new RegExp(`^\\{"seq":(\\d+),"x":${PLACE},"y":${PLACE},"at":\\d{13}(?:,"gap":true)?\\}$`);

/** The number of the update that a text is, or -1 if it is none. */
function seqOf(text) {
  const found = UPDATE.exec(text);
  return found === null ? -1 : Number(found[1]);
}

/** Whether the update of that number is newer than all that this user has seen of its group, itself from now on. */
function isNewer(seq) {
  const newer = seq > newest;
  if (newer) {
    newest = seq;
  }
  return newer;
}

/** Checks an answer that owes a new update. */
function checkPublished(name, answer, text = answer.body) {
  const seq = seqOf(text);
  check(answer, {
    [`${name} Status is 200`]: (r) => r.status === 200,
    [`${name} Body is an update`]: seq >= 0,
    [`${name} seq has grown`]: isNewer(seq),
  });
}

/** Checks an answer that may be empty: nothing happened for the whole of a long poll, or nobody is there. */
function checkPolled(name, answer, isOwed) {
  const isEmpty = answer.status === 204;
  const seq = seqOf(answer.body);
  check(answer, {
    [`${name} Status is 200 or 204`]: (r) => r.status === 200 || r.status === 204,
    [`${name} Body is an update`]: isEmpty ? !answer.body : seq >= 0,
    [`${name} seq has grown`]: isEmpty || isOwed(seq),
  });
  if (isEmpty) {
    polls204.add(1);
  } else if (answer.status === 200) {
    polls200.add(1);
  }
}

// The study polled `/cur/{group}`, an address that its own server doesn't have, and timed 404s.
export function short_poll() {
  const answer = http.get(`http://${TARGET}/location/cur/${group}`);
  // Between two publishes a poll repeats the newest update; where nobody ever published it is made up, number 0.
  checkPolled('Short Polling', answer, (seq) => seq === 0 || seq === newest || isNewer(seq));
  sleep(PAUSE_SECONDS);
}

// The study asked for `text/event-stream` in the first poll, which a server that answers with JSON may refuse, and its
// did. It meant to make that poll once a user but remembered nothing, so that it was made in every round: so it is here.
export function long_poll() {
  const base = `http://${TARGET}/location/long/${group}`;
  checkPolled('Long Polling Connection', http.get(base), isNewer);
  checkPublished('Long Polling Notify', http.post(`${base}/notify`));
  checkPolled('Long Polling Post', http.get(base), isNewer);
  sleep(PAUSE_SECONDS);
}

// The only event stream that k6 can read is one that ends: connecting gives one event of group 0.
export function sse() {
  const base = `http://${TARGET}/location/sse`;
  const connection = http.get(`${base}/connect`, { headers: { Accept: 'text/event-stream' } });
  const event = /^id: (\d+)\nevent: location\ndata: (.*)\n\n$/.exec(connection.body || '');
  checkPublished('SSE Connection', connection, event && seqOf(event[2]) === Number(event[1]) ? event[2] : '');
  checkPublished('SSE Share', http.post(`${base}/share`));
  sleep(PAUSE_SECONDS);
}

/**
 * Connects and stays until the server closes the socket or k6 stops the user, as a socket of the study did.
 * `isRight` judges each message. A check costs k6 more than a message, so only the first message of a socket and those
 * that aren't right are counted as checks.
 */
function stay(name, target, open, isRight) {
  let hasMessage = false;
  newest = 0;
  const answer = ws.connect(`ws://${TARGET}${target}`, {}, (socket) => {
    socket.on('open', () => {
      check(socket, { [`${name} connects`]: true });
      open(socket);
    });
    socket.on('message', (message) => {
      const right = isRight(message);
      if (!right || !hasMessage) {
        hasMessage = true;
        check(message, { [`${name} messages are right`]: right });
      }
    });
  });
  // A user that k6 stops does not come here.
  check(answer, { [answer.status === 101 ? `${name} stays open` : `${name} connects`]: false });
  sleep(PAUSE_SECONDS);
}

// The server draws the group; it is the same for all messages of a socket.
export function websocket() {
  stay('WebSocket', '/ws', (socket) => socket.send('Hello from k6 WebSocket!'), (text) => isNewer(seqOf(text)));
}

// The study offered STOMP 2.0, which there isn't, and named no host.
export function stomp() {
  let isConnected = false;
  const open = (socket) => {
    socket.send('CONNECT\naccept-version:1.0,1.1,1.2\nhost:localhost\n\n\x00\n');
    socket.send(`SUBSCRIBE\nid:${uuid()}\ndestination:/sub/location/${group}\n\n\x00\n`);
    socket.send(`SEND\ndestination:/pub/share/${group}\n\n${JSON.stringify({ content: 'Hi from k6 STOMP!' })}\x00\n`);
  };
  stay('STOMP', '/location', open, (frame) => {
    if (!isConnected) {
      isConnected = frame.startsWith('CONNECTED\n') && frame.includes('\nversion:1.2\n');
      return isConnected;
    }
    const body = frame.indexOf('\n\n') + 2;
    return frame.startsWith('MESSAGE\n') && frame.includes(`\ndestination:/sub/location/${group}\n`) &&
      isNewer(seqOf(frame.slice(body, frame.indexOf('\x00', body))));
  });
}

function uuid() {
  return 'xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx'.replace(/[xy]/g, (c) => {
    const r = (Math.random() * 16) | 0;
    return (c === 'x' ? r : (r & 0x3) | 0x8).toString(16);
  });
}
