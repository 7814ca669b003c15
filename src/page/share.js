// Your own location: where you put yourself, and how the group hears of it.

// A drag says no more than twenty places a second.
const SHARE_MS_MIN = 50;
const STEP = 1 / 50;
const LONG_STEP = 1 / 8;
// A tenth of a thousandth of a degree is some 10 m.
const DEGREES = 1e4;

// Where you are to be shown; null while you share nothing.
let mine = null;
let isSaid = true;
// Whether that is because you stopped.
let hasLeft = false;
let telling = null;
let watchId = null;

function share(location) {
  if (!form.checkValidity()) return say(judge());
  mine = location;
  isSaid = hasLeft = false;
  $('leave').disabled = false;
  repaint();
  telling ??= tell();
}

// One at a time, and of what is wanted meanwhile only the newest.
async function tell() {
  while (!isSaid && mine) {
    isSaid = true;
    const place = mine;
    try {
      await publish(place);
      say(`Shared: you are at ${words(place)}.`);
    } catch (error) {
      say(`Not shared: ${reason(error)}.`);
    }
    await sleep(SHARE_MS_MIN);
  }
  telling = null;
}

// By the connection that draws if it takes words, else by a request of its own.
async function publish(said) {
  const body = JSON.stringify({ member: me() || undefined, ...said });
  if (drawing.send) drawing.send(body);
  else await ask(`/location/share/${group}`, { method: 'POST', body });
}

// After a restart, a new name or a lapse the group knows nothing of us.
function shareAgain() {
  if (mine) share(mine);
}

// What was said over a connection that then broke off.
function sayAgain() {
  if (mine) share(mine);
  else if (hasLeft) tellLeave();
}

async function leave() {
  mine = null;
  hasLeft = true;
  stopWatching();
  $('leave').disabled = true;
  repaint();
  await telling;
  if (mine) return;
  if (!me()) return say('You share nothing any more; the nameless location stays for a while.');
  await tellLeave();
}

async function tellLeave() {
  try {
    await publish({ left: true });
    say('You share nothing any more.');
  } catch (error) {
    say(`The group was not told that you left: ${reason(error)}.`);
  }
}

function startWatching() {
  if (!navigator.geolocation || !isSecureContext) {
    return say('Browsers tell where you are to pages over https or on this machine only.');
  }
  const degrees = value => Math.round(value * DEGREES) / DEGREES;
  const heard = ({ coords }) => share({ x: degrees(coords.longitude), y: degrees(coords.latitude) });
  const failed = error => {
    // Other failures pass: the browser goes on looking.
    if (error.code === error.PERMISSION_DENIED) stopWatching();
    say(`The browser does not tell where you are${error.message && `: ${error.message}`}.`);
  };
  watchId = navigator.geolocation.watchPosition(heard, failed, { enableHighAccuracy: true });
  $('watch').ariaPressed = 'true';
  say('Asking the browser where you are.');
}

function stopWatching() {
  if (watchId !== null) navigator.geolocation.clearWatch(watchId);
  watchId = null;
  $('watch').ariaPressed = 'false';
}

// By hand, which ends the following of the real location.
function put(location) {
  stopWatching();
  share(location);
}

canvas.onpointerdown = event => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  isDragging = true;
  put(fromPixels(event.offsetX, event.offsetY));
};
canvas.onpointermove = event => {
  if (isDragging) put(fromPixels(event.offsetX, event.offsetY));
};
canvas.onlostpointercapture = () => {
  isDragging = false;
  repaint();
};
canvas.onkeydown = event => {
  const [right, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
  if (right === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  const from = mine ?? (isPresent(me()) ? members.get(me()) : view), step = view.span * (event.shiftKey ? LONG_STEP : STEP);
  put({ x: from.x + right * step, y: from.y + up * step });
};
$('watch').onclick = () => (watchId === null ? startWatching() : leave());
$('leave').onclick = leave;
