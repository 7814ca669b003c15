// The table, the form, and what ties the parts together.

const LISTED_MAX = 100;
// As the server counts: in UTF-8.
const NAME_BYTES_MAX = 64;
const GROUP_MAX = 2n ** 63n - 1n;

const connections = [
  new Connection('short_poll', 'short poll', 'Live: it asks once a second'),
  new Connection('long_poll', 'long poll', 'Live: a request waits for the next update'),
  new Connection('sse', 'SSE', 'Live: an event stream is open'),
  new Connection('websocket', 'WebSocket', 'Live: a WebSocket is open'),
  new Connection('stomp', 'STOMP', 'Live: subscribed over a WebSocket'),
];
// The one whose updates the map shows.
let drawing = null;

function stateWords({ state, why, untilMs, liveWords }) {
  const reasonWords = () => `${why.charAt(0).toUpperCase()}${why.slice(1)}`;
  const waiting = () => {
    const seconds = Math.max(0, Math.ceil((untilMs - performance.now()) / 1000));
    const next = untilMs ? `Trying again in ${seconds} s` : 'The browser tries again when the server said to';
    return `${reasonWords()}. ${next}`;
  };
  const refused = () => `${reasonWords()}. Refused, until you choose another group, name or transport`;
  return `${{ off: () => 'Off', connecting: () => 'Connecting', live: () => liveWords, waiting, refused }[state]()}.`;
}

function show(connection) {
  const { row, isOn, state, figures: { rate, latencyMs, bytes, updates, missed, gaps } } = connection;
  if (!row) return;
  const set = (part, text) => { row.querySelector(`[data-is=${part}]`).textContent = isOn ? text : ''; };
  row.dataset.state = state;
  set('rate', rate.toFixed(1));
  set('latency', latencyMs === undefined ? '–' : Math.round(latencyMs));
  set('size', updates ? Math.round(bytes / updates) : '–');
  set('missed', gaps ? `${missed}, ${gaps} gap${gaps > 1 ? 's' : ''}` : missed);
  row.querySelector('[data-is=state]').textContent = stateWords(connection);
}

function addRow(connection) {
  const row = $('row').content.cloneNode(true).firstElementChild, [draws, on] = row.querySelectorAll('input');
  row.dataset.transport = connection.transport;
  row.querySelector('[data-is=label]').textContent = connection.label;
  on.ariaLabel = `listen by ${connection.label}`;
  draws.onchange = () => draw(connection);
  on.onchange = () => keep(connection, on.checked);
  Object.assign(connection, { row, draws, on });
  document.querySelector('table').append(row);
}

function start(connection) {
  if (!connection.isOn && form.checkValidity()) connection.start();
}

// The one that draws is on all the same.
function keep(connection, isKept) {
  connection.isKept = isKept;
  connection.on.checked = isKept || connection === drawing;
  if (connection.on.checked) start(connection);
  else connection.stop();
  remember();
}

function choose(connection) {
  if (drawing) Object.assign(drawing.on, { disabled: false, checked: drawing.isKept });
  drawing = connection;
  connection.draws.checked = true;
  Object.assign(connection.on, { disabled: true, checked: true });
}

function draw(connection) {
  choose(connection);
  // One that still begins takes a snapshot anyway.
  if (connection.isOn && connection.cursor !== null) connection.refresh();
  start(connection);
  if (connection.state === 'live') stopUnkept();
  remember();
}

// Whoever drew before goes on until the next one is there, so that nobody is told that we left.
function stopUnkept() {
  for (const connection of connections) if (!connection.on.checked) connection.stop();
}

// Marks what the server would refuse for ever, and says it in words; nothing if all is well.
function judge() {
  const { group, member } = form.elements, size = sizeOf(member.value);
  const isGroup = /^\d{1,19}$/.test(group.value) && BigInt(group.value) <= GROUP_MAX;
  group.setCustomValidity(isGroup ? '' : `A group is a whole number from 0 to ${GROUP_MAX}.`);
  // Half of a pair of UTF-16 is no UTF-8.
  const isName = size <= NAME_BYTES_MAX && !/[\p{Cc}\p{Cs}]/u.test(member.value);
  const most = `A name is at most ${NAME_BYTES_MAX} bytes of UTF-8, without control characters`;
  member.setCustomValidity(isName ? '' : `${most}; this is ${size} bytes.`);
  return group.validationMessage || member.validationMessage;
}

// Enters the group of the form under the name of the form, on all transports that are on.
function enter() {
  for (const connection of connections) connection.stop();
  const fault = judge();
  if (fault) return say(fault);
  const { value } = form.elements.group;
  myName = form.elements.member.value;
  if (group !== value) {
    group = value;
    members.clear();
    [floor, view, viewGoal, mine, hasLeft] = [0, null, null, null, false];
    stopWatching();
    $('leave').disabled = true;
  }
  for (const connection of connections) if (connection.on.checked) connection.start();
  remember();
  repaint();
}

// The address holds what was chosen, so that it can be kept and handed on.
function remember() {
  const kept = connections.filter(({ isKept }) => isKept);
  $('all').ariaPressed = kept.length === connections.length;
  const compared = kept.map(({ transport }) => transport);
  const named = encodeURIComponent(form.elements.group.value);
  history.replaceState(null, '', `#group=${named}&transport=${drawing.transport}&compare=${compared}`);
}

function listMembers() {
  const present = [...members].filter(([, member]) => !member.left).sort(([a], [b]) => (a < b ? -1 : 1));
  const { length } = present;
  $('count').textContent = length > LISTED_MAX ? `${length}, the first ${LISTED_MAX} listed` : length;
  $('list').replaceChildren(...present.slice(0, LISTED_MAX).map(([name, member]) => {
    const [item, colour, label, shown, remark, place] = ['li', 'i', 'b', 'bdi', 'em', 'span'].map(tag => document.createElement(tag));
    item.dataset.member = name;
    item.className = name === me() ? 'you' : '';
    colour.style.background = colourOf(name);
    shown.textContent = shownName(name);
    remark.textContent = `${remarkOf(name)}${isOffMap(member) ? ' (off the map)' : ''}`.trim();
    label.append(shown, name && remark.textContent && ' ', remark);
    place.textContent = words(member);
    item.append(colour, label, place);
    return item;
  }));
}

function begin() {
  const asked = new URLSearchParams(location.hash.slice(1));
  form.elements.group.value = asked.get('group') ?? '0';
  form.elements.member.value = asked.get('member') ?? `guest-${Math.floor(Math.random() * 1e4)}`;
  connections.forEach(addRow);
  const compared = (asked.get('compare') ?? '').split(',');
  for (const connection of connections) connection.on.checked = connection.isKept = compared.includes(connection.transport);
  choose(connections.find(({ transport }) => transport === asked.get('transport')) ?? connections[2]);
  enter();
}

form.onsubmit = event => {
  event.preventDefault();
  enter();
};
form.onchange = enter;
form.oninput = () => {
  const fault = judge();
  if (fault) say(fault);
};
$('all').onclick = () => {
  const isKept = $('all').ariaPressed !== 'true';
  for (const connection of connections) keep(connection, isKept);
};
new PerformanceObserver(list => countPolls(list.getEntries())).observe({ type: 'resource' });
new ResizeObserver(repaint).observe(canvas);
setInterval(() => {
  for (const connection of connections) {
    connection.figures.endSecond();
    connection.probe();
    show(connection);
  }
  // Here, for nothing is painted while nobody sees the page, and it may be open for days.
  forgetLeavesAndTrails(performance.now());
  listMembers();
  repaint();
}, 1000);
// Another address typed or pasted in its place is for another group or way.
addEventListener('hashchange', () => location.reload());
begin();
