// The map: as large as what is on it, of one scale both ways, y upwards.

const canvas = $('map');
const pen = canvas.getContext('2d');
// Past these a map is a cloud, and painting would take longer than a frame.
const NAMED_MAX = 200;
const TRAILED_MAX = 500;
const GRID_PIXELS_MIN = 70;
const GRID_LINES_MAX = 40;
const FONT = '13px system-ui, sans-serif';
const WORD_GAP = 4;
// Whoever is so many times as far out as half of them would make one point of the others.
const FAR_TIMES = 1000;

// The middle of what is seen, and how much of it the shorter side shows.
let view = null;
// Where the view is on its way to, if it is.
let viewGoal = null;
let isPainting = false;
let isDragging = false;

function repaint() {
  if (isPainting) return;
  isPainting = true;
  requestAnimationFrame(paint);
}

const middleOf = values => Float64Array.from(values).sort()[values.length >> 1];

// All but the few that are far out: as far as from the middle to half of them, or to the next if half of them are there.
function bulkOf(places) {
  const middle = { x: middleOf(places.map(({ x }) => x)), y: middleOf(places.map(({ y }) => y)) };
  const distances = places.map(({ x, y }) => Math.hypot(x - middle.x, y - middle.y));
  const near = middleOf(distances) || distances.reduce((least, far) => (far ? Math.min(least, far) : least), Infinity);
  return places.filter((_, at) => distances[at] <= near * FAR_TIMES);
}

// The view that shows all of them.
function viewOf(places) {
  if (!places.length) return { x: 50, y: 50, span: 130 };
  const wide = canvas.clientWidth / canvas.clientHeight;
  const widen = axis => ([least, most], place) => [Math.min(least, place[axis]), Math.max(most, place[axis])];
  const [[left, right], [low, high]] = ['x', 'y'].map(axis => places.reduce(widen(axis), [Infinity, -Infinity]));
  const span = Math.max((right - left) / Math.max(wide, 1), (high - low) * Math.min(wide, 1)) * 1.35;
  const finest = Math.max(1, ...[left, right, low, high].map(Math.abs)) * 1e-9;
  return { x: (left + right) / 2, y: (low + high) / 2, span: span > finest ? span : 100 };
}

const scale = () => Math.min(canvas.clientWidth, canvas.clientHeight) / view.span;
const toPixels = ({ x, y }) => [
  canvas.clientWidth / 2 + (x - view.x) * scale(),
  canvas.clientHeight / 2 - (y - view.y) * scale(),
];
const fromPixels = (right, down) => ({
  x: view.x + (right - canvas.clientWidth / 2) / scale(),
  y: view.y - (down - canvas.clientHeight / 2) / scale(),
});

const isOut = place => toPixels(place).some((at, axis) => at < 0 || at > [canvas.clientWidth, canvas.clientHeight][axis]);
// While the view moves nobody is called so.
const isOffMap = place => view && !viewGoal && isOut(place);

// Moves the view to where all are seen; says whether it is still on its way.
function follow(places) {
  const goal = viewOf(places);
  view ??= goal;
  // While all fits it stays where it is, or it would run away from whoever drags a dot at its edge.
  if (!viewGoal && !isDragging && (goal.span < view.span / 4 || places.some(isOut))) viewGoal = goal;
  if (!viewGoal) return false;
  const parts = ['x', 'y', 'span'], left = part => viewGoal[part] - view[part];
  if (calm.matches || parts.every(part => Math.abs(left(part)) < viewGoal.span / 500)) {
    [view, viewGoal] = [viewGoal, null];
    return false;
  }
  for (const part of parts) view[part] += left(part) * 0.15;
  return true;
}

function paint(now) {
  isPainting = false;
  const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
  if (!width || !height) return;
  const present = [...members.values()].filter(member => !member.left);
  const bulk = bulkOf(present), isFollowing = follow(mine ? [...bulk, mine] : bulk);
  // Setting the size clears it and forgets the pen's ways.
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  pen.scale(ratio, ratio);
  pen.font = FONT;
  const { color: ink, borderBottomColor: rule } = getComputedStyle(canvas);
  paintGrid(ink, rule);
  const trailed = present.length > TRAILED_MAX ? [] : present.filter(member => member.trail.length);
  for (const member of trailed) paintTrail(member, now);
  if (mine) paintCross(toPixels(mine), ink);
  for (const member of present) paintMember(member, now, ink, present.length <= NAMED_MAX);
  const isFading = trailed.length && !calm.matches;
  if (isFollowing || isFading || present.some(member => now - member.seen < member.glideMs)) repaint();
}

// Lines at round coordinates, so that one sees where in the plane this is.
function paintGrid(ink, rule) {
  const least = GRID_PIXELS_MIN / scale(), power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(step => step >= least) ?? 10 * power;
  const [from, to] = [fromPixels(0, canvas.clientHeight), fromPixels(canvas.clientWidth, 0)];
  for (const axis of ['x', 'y']) {
    const first = Math.ceil(from[axis] / step);
    for (let line = 0; line < GRID_LINES_MAX && (first + line) * step <= to[axis]; line++) {
      const value = (first + line) * step;
      const [right, down] = toPixels({ ...from, [axis]: value }).map(Math.round), label = Number(value.toPrecision(12));
      pen.fillStyle = rule;
      if (axis === 'x') pen.fillRect(right, 0, 1, canvas.clientHeight);
      else pen.fillRect(0, down, canvas.clientWidth, 1);
      pen.fillStyle = ink;
      pen.globalAlpha = 0.6;
      if (axis === 'x') pen.fillText(label, right + 4, canvas.clientHeight - 5);
      else if (down < canvas.clientHeight - 24) pen.fillText(label, 4, down - 4);
      pen.globalAlpha = 1;
    }
  }
}

function paintTrail(member, now) {
  const points = [...member.trail, { ...shownAt(member, now), at: now }];
  pen.strokeStyle = colourOf(member.member ?? '');
  pen.lineWidth = 3;
  for (let end = 1; end < points.length; end++) {
    pen.globalAlpha = Math.max(0, 1 - (now - points[end - 1].at) / TRAIL_MS) * 0.6;
    pen.beginPath();
    pen.moveTo(...toPixels(points[end - 1]));
    pen.lineTo(...toPixels(points[end]));
    pen.stroke();
  }
  pen.globalAlpha = 1;
}

function paintMember(member, now, ink, isNamed) {
  const name = member.member ?? '', isMe = name === me();
  const [right, down] = toPixels(shownAt(member, now));
  pen.fillStyle = colourOf(name);
  pen.beginPath();
  pen.arc(right, down, isMe ? 7 : 5.5, 0, 7);
  pen.fill();
  if (isMe) {
    pen.strokeStyle = ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(right, down, 10.5, 0, 7);
    pen.stroke();
  }
  if (!isNamed && !isMe) return;
  paintLabel([[FONT, shownName(name)], [`italic ${FONT}`, remarkOf(name)]].filter(([, text]) => text), right, down, ink);
}

// Each text by itself, so that none turns another around.
function paintLabel(texts, right, down, ink) {
  const widths = texts.map(([font, text]) => {
    pen.font = font;
    return pen.measureText(text).width + WORD_GAP;
  });
  const width = widths.reduce((sum, each) => sum + each, -WORD_GAP);
  let from = right + 14 + width > canvas.clientWidth ? right - 14 - width : right + 14;
  pen.fillStyle = ink;
  texts.forEach(([font, text], place) => {
    pen.font = font;
    pen.fillText(text, from, down + 4);
    from += widths[place];
  });
}

// Where you put yourself; the dot comes there when the server has told.
function paintCross([right, down], ink) {
  pen.strokeStyle = ink;
  pen.lineWidth = 1;
  pen.beginPath();
  for (const [x, y] of [[9, 0], [0, 9]]) {
    pen.moveTo(right - x, down - y);
    pen.lineTo(right + x, down + y);
  }
  pen.stroke();
}
