// The five transports. Each runs until it fails or its signal is aborted, and goes on from the connection's cursor.

const SHORT_POLL_MS = 1000;
const LONG_POLL_MS = 25000;

const closings = {
  1006: 'the connection broke off or was refused',
  1008: 'the server refused what was sent',
  1012: 'the server is restarting',
};

const speak = () => me() && `&member=${encodeURIComponent(me())}`;
const sizeOf = text => new TextEncoder().encode(text).length;
// The head of a server's frame tells its length in 2, 4 or 10 bytes (RFC 6455, section 5.2).
const frameSizeOf = size => size + (size < 126 ? 2 : size < 65536 ? 4 : 10);

const transports = {
  async short_poll(link, signal) {
    // What was missed while nobody answered no poll can tell.
    if (link.wasLost) link.cursor = 0;
    for (let etag = ''; !signal.aborted; await sleep(SHORT_POLL_MS, signal)) {
      const answer = await ask(`/location/cur/${group}`, { signal, headers: etag ? { 'If-None-Match': etag } : {} });
      link.live();
      if (answer.status === 304) continue;
      etag = answer.headers.get('ETag') ?? '';
      const before = link.cursor, text = await answer.text(), seq = text && JSON.parse(text).seq;
      // Nobody is there (0 is a location made up), and what comes then has nothing to follow.
      if (!seq) link.cursor = 0;
      else link.take(text);
      // It shows one update and no leave: what it passed over, the snapshot has.
      if (seq ? seq !== before && seq !== before + 1 : members.size || mine) link.refresh();
    }
  },

  async long_poll(link, signal) {
    // The first one returns at once, to see that somebody answers.
    for (let timeoutMs = 1; !signal.aborted; timeoutMs = LONG_POLL_MS) {
      const path = `/location/long/${group}?since=${link.cursor}&timeout=${timeoutMs}${speak()}`;
      const answer = await ask(path, { signal, parkedMs: timeoutMs });
      link.live();
      const text = await answer.text();
      if (!text) link.cursor = Number(answer.headers.get('Location-Seq'));
      // By one update a request nobody comes back from where the server has forgotten.
      else if (link.take(text).gap) await link.skip(signal);
    }
  },

  sse: (link, signal) => new Promise((_, fail) => {
    const source = new EventSource(`/location/sse/${group}?last_event_id=${link.cursor}${speak()}`);
    let wasOpen = false;
    const off = () => end('off');
    const end = why => {
      signal.removeEventListener('abort', off);
      source.close();
      fail(Error(why));
    };
    signal.addEventListener('abort', off);
    source.onopen = () => {
      wasOpen = true;
      link.end = end;
      link.live();
    };
    source.addEventListener('location', ({ data, lastEventId }) => {
      link.take(data, sizeOf(`id: ${lastEventId}\nevent: location\ndata: ${data}\n\n`));
    });
    source.onerror = () => {
      // The first time the browser comes back when the server's retry field says; how long it waits after that never grows.
      if (!wasOpen || source.readyState === EventSource.CLOSED) return end('the event stream broke off or was refused');
      wasOpen = false;
      link.lose('the event stream ended');
    };
  }),

  websocket(link, signal) {
    const open = socket => {
      link.send = body => socket.send(body);
      link.live();
    };
    const read = text => void link.take(text, frameSizeOf(sizeOf(text)));
    return talk(`/ws/${group}?since=${link.cursor}${speak()}`, [], link, signal, open, read);
  },

  stomp(link, signal) {
    const send = (socket, command, headers, body = '') => {
      const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
      socket.send(`${command}\n${lines.join('')}\n${body}\0`);
    };
    // Without heart-beats: WebSocket has pings for that. SUBSCRIBE need not wait for CONNECTED.
    const open = socket => {
      send(socket, 'CONNECT', { 'accept-version': '1.2', host: location.hostname, ...me() && { member: me() } });
      send(socket, 'SUBSCRIBE', { id: 0, destination: `/sub/location/${group}`, since: link.cursor });
    };
    let rest = '';
    const read = (text, socket) => {
      // JSON holds no NUL, so every NUL ends a frame.
      const frames = (rest + text).split('\0');
      rest = frames.pop();
      for (const frame of frames) {
        const [, command, body] = /^\s*(\w+).*?\n\n(.*)/s.exec(frame);
        if (command === 'CONNECTED') {
          link.send = said => send(socket, 'SEND', { destination: `/pub/share/${group}` }, said);
          link.live();
        }
        if (command === 'MESSAGE') link.take(body, frameSizeOf(sizeOf(frame) + 1));
        // Of what the server refuses before it has said CONNECTED it will refuse the same again, unless it only goes down.
        if (command === 'ERROR') return [body, !link.send && !frame.includes('\nmessage:draining\n')];
      }
    };
    return talk('/location', ['v12.stomp'], link, signal, open, read);
  },
};

// Keeps a WebSocket until it closes; what `read` returns is why it is to close, and whether for good.
function talk(path, protocols, link, signal, open, read) {
  return new Promise((_, fail) => {
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + path, protocols);
    const off = () => end('off');
    const end = (why, isFinal = false) => {
      signal.removeEventListener('abort', off);
      socket.onmessage = null;
      fail(Object.assign(Error(why), { isFinal }));
      // While it connects a browser would call that an error; then it closes once it is open.
      if (socket.readyState !== WebSocket.CONNECTING) socket.close();
    };
    signal.addEventListener('abort', off);
    socket.onopen = () => {
      if (signal.aborted) return socket.close();
      link.end = end;
      open(socket);
    };
    socket.onmessage = ({ data }) => {
      const ending = read(data, socket);
      if (ending) end(...ending);
    };
    socket.onclose = ({ code, reason }) => end(closings[code] ?? `the connection was closed with ${code} ${reason}`);
  });
}

// What a poll took the browser tells once it is over, head included.
function countPolls(entries) {
  const polls = { short_poll: '/location/cur/', long_poll: '/location/long/' };
  for (const { name, transferSize } of entries) {
    const { pathname, searchParams } = new URL(name);
    if (searchParams.has('probe')) continue;
    for (const link of connections) {
      if (link.isOn && polls[link.transport] && pathname === polls[link.transport] + group) link.figures.bytes += transferSize;
    }
  }
  // The browser keeps some 250 of them, and no more.
  performance.clearResourceTimings();
}
