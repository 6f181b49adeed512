/** What the page knows: the one store, fed by the live feed, read by every view. */
import { type Context, receive, type Received } from "./age.ts";
import { EdgeClock, Monotonic } from "./clock.ts";
import { type Broken, brokenHop } from "./liveness.ts";
import { type Audible, audible } from "./rank.ts";
import type { Alarm, BedState, EdgeEvent, Hops, Me, Numeric, Pump, ServerMessage, Vitals, Wave } from "./types.ts";

export interface BedVitals { at: string; simulated: boolean; numerics: Record<string, Received<Numeric>>; pump: Received<Pump> | null }

const TONE_AFTER_S = 5; // a broken feed is itself announced, but not while the page is still opening

export class Store {
  readonly monotonic = new Monotonic(() => performance.now(), () => Date.now());
  readonly edgeClock = new EdgeClock();
  me: Me | null | undefined = undefined; // undefined: not asked yet
  edge = "";
  simulated = false;
  beds: string[] = [];
  states = new Map<string, BedState>();
  vitals = new Map<string, BedVitals>();
  hops: Hops | null = null;
  events = new Map<string, number>(); // bed -> how many events came: whoever lists them asks again when it grows
  onWave: ((wave: Wave) => void) | null = null;

  #heard_ms: number | null = null;
  #closed = false;
  #broken_since_ms: number | null = null;
  #seenLive = new Set<string>();
  #acknowledged = new Map<string, string>(); // alarm -> when the page first saw it acknowledged
  #listeners = new Set<() => void>();
  #queued = false;

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Redraw soon; many changes in one frame are drawn once. A hidden page draws nothing and misses nothing. */
  changed(): void {
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => {
      this.#queued = false;
      for (const listener of this.#listeners) listener();
    });
  }

  now_ms(): number {
    return this.monotonic.now_ms();
  }

  edge_ms(): number | null {
    return this.edgeClock.now_ms(this.now_ms());
  }

  /** Edge seconds since an ISO time; null while the edge clock or the time is unknown. */
  since_s(iso: string | null | undefined): number | null {
    const edge_ms = this.edge_ms();
    const at = iso ? Date.parse(iso) : Number.NaN;
    return edge_ms === null || Number.isNaN(at) ? null : (edge_ms - at) / 1000;
  }

  broken(): Broken | null {
    const now = this.now_ms();
    const broken = brokenHop({
      silent_s: this.#heard_ms === null ? null : (now - this.#heard_ms) / 1000, closed: this.#closed,
      behind_s: this.edgeClock.behind_s(), hops: this.hops, edge_ms: this.edge_ms(),
    });
    if (broken === null) this.#broken_since_ms = null;
    else this.#broken_since_ms ??= now;
    return broken;
  }

  /** Whether the feed has been broken long enough for that itself to sound. */
  brokenLong(): boolean {
    return this.broken() !== null && this.#broken_since_ms !== null && this.now_ms() - this.#broken_since_ms > TONE_AFTER_S * 1000;
  }

  silent_s(): number {
    return this.#heard_ms === null ? 0 : (this.now_ms() - this.#heard_ms) / 1000;
  }

  /** How this bed's numbers are to be judged at this moment. */
  context(bed: string): Context {
    const state = this.states.get(bed);
    return {
      now_ms: this.now_ms(), speed: this.edgeClock.speed, nibp_interval_min: state?.session?.order?.nibp_interval_min ?? null,
      live: this.broken() === null && state?.live !== false,
    };
  }

  audible(): Audible {
    return audible(this.states.values(), this.edge_ms(), (alarm) => this.#seenLive.has(alarm.alarm));
  }

  acknowledgedAt(alarm: Alarm): string | null {
    return this.#acknowledged.get(alarm.alarm) ?? null;
  }

  isSimulated(): boolean {
    return this.simulated || [...this.states.values()].some((state) => state.simulated) || [...this.vitals.values()].some((v) => v.simulated);
  }

  /** A new connection: nothing queued in the old one counts any more. */
  opened(): void {
    this.edgeClock.reset(this.edgeClock.speed);
  }

  /** The connection is gone. */
  closed(): void {
    this.#closed = true;
    this.changed();
  }

  hear(message: ServerMessage): void {
    this.#heard_ms = this.now_ms();
    this.#closed = false;
    switch (message.t) {
      case "hello": this.#hello(message); break;
      case "beat":
        this.edgeClock.beat(Date.parse(message.at), this.now_ms());
        this.hops = message.hops;
        break;
      case "vitals": this.#vitals(message); break;
      case "state": this.#state(message); break;
      case "wave": this.onWave?.(message); return;
      case "event": this.#event(message.event); break;
    }
    this.changed();
  }

  /** All that belongs to whoever is signed in goes when they do. */
  forget(): void {
    this.me = null;
    this.beds = [];
    this.states.clear();
    this.vitals.clear();
    this.hops = null;
    this.#heard_ms = null;
    this.#seenLive.clear();
    this.changed();
  }

  #hello(hello: Extract<ServerMessage, { t: "hello" }>): void {
    this.edgeClock.reset(hello.speed);
    this.edgeClock.beat(Date.parse(hello.now), this.now_ms());
    this.edge = hello.edge;
    this.simulated = hello.simulated;
    const beds = hello.beds.map((bed) => (typeof bed === "string" ? bed : bed.bed));
    this.beds = [...this.beds.filter((bed) => beds.includes(bed)), ...beds.filter((bed) => !this.beds.includes(bed))];
    this.hops = null;
    for (const [bed, state] of this.states) this.states.set(bed, { ...state, live: false }); // until the feed repeats them
  }

  #vitals(vitals: Vitals): void {
    const now = this.now_ms();
    const edge_ms = this.edge_ms();
    this.#know(vitals.bed);
    const numerics: Record<string, Received<Numeric>> = {};
    for (const [key, numeric] of Object.entries(vitals.numerics)) numerics[key] = receive(numeric, now, edge_ms);
    this.vitals.set(vitals.bed, {
      at: vitals.at, simulated: vitals.simulated, numerics, pump: vitals.pump ? receive(vitals.pump, now, edge_ms) : null,
    });
  }

  #state(state: BedState): void {
    this.#know(state.bed);
    this.states.set(state.bed, state);
    for (const alarm of state.alarms) {
      if (state.live) this.#seenLive.add(alarm.alarm);
      if (alarm.state !== "acknowledged") this.#acknowledged.delete(alarm.alarm);
      else if (!this.#acknowledged.has(alarm.alarm)) this.#acknowledged.set(alarm.alarm, state.at);
    }
  }

  #event(event: EdgeEvent): void {
    if (event.bed !== null) this.events.set(event.bed, (this.events.get(event.bed) ?? 0) + 1);
  }

  #know(bed: string): void {
    if (!this.beds.includes(bed)) this.beds.push(bed);
  }
}

export const store = new Store();
