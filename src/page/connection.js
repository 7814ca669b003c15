// One transport's connection to the group: it is kept up as long as it is on, goes on from its cursor, and counts.

const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 15000;
// Who was connected for less goes on waiting longer each time.
const STEADY_MS = 5000;
const SILENT_MS = 30000;
// What a poll knows a stream tells within this.
const STALLED_MS = 5000;
const LATENCY_SECONDS = 10;
const RATE_SECONDS = 5;
// A median needs no more.
const AGES_A_SECOND_MAX = 500;

class Figures {
  bytes = 0;
  updates = 0;
  missed = 0;
  gaps = 0;
  // The present second comes first. In a page that nobody sees browsers make them longer.
  seconds = [this.newSecond()];

  newSecond() {
    return { since: performance.now(), updates: 0, ages: [] };
  }

  count(ageMs) {
    const [now] = this.seconds;
    this.updates++;
    now.updates++;
    if (now.ages.length < AGES_A_SECOND_MAX) now.ages.push(ageMs);
  }

  endSecond() {
    this.seconds = [this.newSecond(), ...this.seconds.slice(0, LATENCY_SECONDS)];
  }

  get rate() {
    const [now, ...whole] = this.seconds.slice(0, 1 + RATE_SECONDS);
    const tookMs = now.since - whole.at(-1)?.since;
    return whole.reduce((sum, second) => sum + second.updates, 0) / (tookMs / 1000 || 1);
  }

  get latencyMs() {
    const ages = this.seconds.flatMap(second => second.ages).sort((a, b) => a - b);
    return ages[ages.length >> 1];
  }
}

// With jitter, so that a server that comes back, or refuses, is not met by everybody at once.
const spread = (waitMs, error) => (error.waitMs || 0) + waitMs * (0.5 + Math.random());

class Connection {
  // One of off, connecting, live, waiting and refused; `why` tells of the last two, and `untilMs` of a wait.
  state = 'off';
  why = '';
  untilMs = 0;
  cursor = null;
  figures = new Figures();
  stopper = null;
  // Publishes a body by the connection itself, where that can be.
  send = null;
  // Ends a stream that is open, for the reason given.
  end = null;
  heardAt = 0;
  isProbing = false;
  waitMs = WAIT_MS_MIN;
  liveSince = null;
  wasLost = false;
  // Whether the map needs another snapshot, and the signal of who asks for one.
  isStale = false;
  refreshing = null;
  // Whether it goes on when another draws.
  isKept = false;

  constructor(transport, label, liveWords) {
    Object.assign(this, { transport, label, liveWords });
  }

  get isOn() { return this.stopper !== null; }

  start() {
    this.stop();
    Object.assign(this, { cursor: null, figures: new Figures(), waitMs: WAIT_MS_MIN, wasLost: false });
    this.stopper = new AbortController();
    this.run(this.stopper.signal);
  }

  stop() {
    this.stopper?.abort();
    this.stopper = null;
    this.become('off');
  }

  become(state) {
    this.state = state;
    if (state !== 'live') {
      if (performance.now() - (this.liveSince ?? Infinity) > STEADY_MS) this.waitMs = WAIT_MS_MIN;
      Object.assign(this, { send: null, end: null, liveSince: null });
    }
    show(this);
  }

  async run(signal) {
    while (!signal.aborted) {
      this.become('connecting');
      try {
        if (this.cursor === null) await this.begin(signal);
        await transports[this.transport](this, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error.isFinal) this.giveUp(error);
        else await this.wait(error, signal);
      }
    }
  }

  async begin(signal) {
    const snapshot = await askSnapshot(signal);
    signal.throwIfAborted();
    this.cursor = snapshot.seq;
    if (this === drawing) settle(snapshot);
  }

  live() {
    if (this.state === 'live') return;
    this.become('live');
    this.liveSince = this.heardAt = performance.now();
    if (this.wasLost && this === drawing) {
      // Whoever went while nobody told us is still on the map, and what we said last may have reached nobody.
      this.refresh();
      sayAgain();
    }
    this.wasLost = false;
    if (this === drawing) stopUnkept();
  }

  // Without a wait it is the browser that comes back by itself.
  lose(why, waitMs) {
    Object.assign(this, { wasLost: true, why, untilMs: waitMs && performance.now() + waitMs });
    this.become('waiting');
    if (this === drawing) say(stateWords(this));
  }

  // Longer each time that nobody stays.
  async wait(error, signal) {
    // Here, for it says how long the first wait is.
    this.become('waiting');
    const waitMs = spread(this.waitMs, error);
    this.waitMs = Math.min(this.waitMs * 2, WAIT_MS_MAX);
    this.lose(reason(error), waitMs);
    await sleep(waitMs, signal);
  }

  // Until another group, name or transport is chosen.
  giveUp(error) {
    this.stop();
    this.why = reason(error);
    this.become('refused');
    if (this === drawing) say(stateWords(this));
  }

  // Reads an update, or an error; bytes are those that nobody else counts.
  take(text, bytes = 0) {
    const update = JSON.parse(text);
    this.figures.bytes += bytes;
    this.heardAt = performance.now();
    if (update.error) say(`${update.error}: ${update.detail ?? ''}`);
    else if (update.seq > this.cursor || update.gap) this.hear(update);
    return update;
  }

  hear(update) {
    if (update.seq <= this.cursor && this === drawing) forgetNumbers();
    if (update.gap) this.figures.gaps++;
    // Numbers of a group follow one another; from 0 nothing is known of what was before.
    else if (this.cursor > 0) this.figures.missed += update.seq - this.cursor - 1;
    this.cursor = update.seq;
    this.figures.count(Date.now() - update.at);
    if (this !== drawing) return;
    learn(update);
    if (update.gap) this.refresh();
  }

  // A network that is gone without a word leaves a stream open that says nothing, and a page does not see keep-alives: after
  // a silence a poll tells whether there was something to say.
  async probe() {
    if (!this.end || this.isProbing || performance.now() - this.heardAt < SILENT_MS) return;
    const { end, cursor, stopper: { signal } } = this;
    this.isProbing = true;
    try {
      const answer = await ask(`/location/long/${group}?since=${cursor}&timeout=0&probe`, { signal });
      if (await answer.text()) {
        await sleep(STALLED_MS, signal);
        if (this.cursor === cursor) end('the connection has fallen silent');
      }
      this.heardAt = performance.now();
    } catch (error) {
      // One that is refused or late tells nothing of the stream.
      if (error instanceof TypeError) end(reason(error));
    }
    this.isProbing = false;
  }

  // Goes on from a snapshot, which the map has to be made of too: one from before would lack what lies between.
  async skip(signal) {
    const snapshot = await askSnapshot(signal);
    this.figures.missed += Math.max(0, snapshot.seq - this.cursor);
    this.cursor = snapshot.seq;
    if (this === drawing) settle(snapshot);
  }

  // Takes the snapshot, if this is the one that draws: one at a time, and until there is one, for the map is wrong until then.
  async refresh() {
    if (this !== drawing) return;
    const { signal } = this.stopper;
    this.isStale = true;
    if (this.refreshing === signal) return;
    this.refreshing = signal;
    for (let waitMs = WAIT_MS_MIN; this.isStale && this === drawing && !signal.aborted;) {
      this.isStale = false;
      try {
        const snapshot = await askSnapshot(signal);
        if (this === drawing && !signal.aborted) settle(snapshot);
      } catch (error) {
        if (signal.aborted) break;
        if (error.isFinal) {
          this.giveUp(error);
          break;
        }
        this.isStale = true;
        say(`No snapshot: ${reason(error)}.`);
        await sleep(spread(waitMs, error), signal);
        waitMs = Math.min(waitMs * 2, WAIT_MS_MAX);
      }
    }
    if (this.refreshing === signal) this.refreshing = null;
  }
}
