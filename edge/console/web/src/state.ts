/** What the page knows: the one store, fed by the live feed, read by every view. */
import { idOf, keyOf, labelOf } from "./beds.ts";
import { type Context, dated, onTheWall, receive, type Received } from "./age.ts";
import { EdgeClock, Monotonic } from "./clock.ts";
import { forgetStart } from "./drafts.ts";
import { type Broken, brokenHop, brokenEdge } from "./liveness.ts";
import type { InformationNow, Order, ProtocolNow } from "./contract.ts";
import { audible, RANK } from "./rank.ts";
import type { BedState, EdgeEvent, EdgeHealth, Hops, Me, Numeric, OtherNumeric, Priority, Pump, ServerMessage, Trouble, Vitals, Wave } from "./feed.ts";

/** An alarm event that sounds: its edge and its number there. */
export interface Sounding { edge: string; seq: number }

export interface BedVitals { at: string; simulated: boolean; numerics: Record<string, Received<Numeric>>; others: Received<OtherNumeric>[]; pump: Received<Pump> | null }

const TONE_AFTER_S = 5; // a broken feed is itself announced, but not while the page is still opening

export class Store {
  readonly monotonic = new Monotonic(() => performance.now(), () => Date.now());
  readonly edgeClock = new EdgeClock();
  me: Me | null | undefined = undefined; // undefined: not asked yet
  edges: string[] = [];
  build: string | null = null; // of the page the server serves now
  simulated = false;
  beds: string[] = []; // keys, in the order of the console
  states = new Map<string, BedState>();
  vitals = new Map<string, BedVitals>();
  protocols = new Map<string, readonly ProtocolNow[]>(); // by edge
  hops: Hops | null = null;
  troubles: readonly Trouble[] = [];
  events = new Map<string, number>(); // bed -> how many events came: whoever lists them asks again when it grows
  onWave: ((wave: Wave) => void) | null = null;

  #names = new Map<string, string>();
  #edgeHealth = new Map<string, EdgeHealth>();
  #offsets_ms = new Map<string, number>(); // an edge's clock less the console's
  #heard_ms: number | null = null;
  #closed = false;
  #broken_since_ms: number | null = null;
  #seenLive = new Set<string>();
  #informed = 0;
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

  /** The clock of a bed's edge: each has its own, so that no clock that is wrong makes numbers look old. */
  edge_ms(key: string): number | null {
    const now_ms = this.edgeClock.now_ms(this.now_ms());
    return now_ms === null ? null : now_ms + (this.#offsets_ms.get(idOf(key).edge) ?? 0);
  }

  /** The protocol of a session's order; null: its edge does not tell it. */
  protocolOf(key: string, order: Order | null | undefined): ProtocolNow | null {
    return this.protocols.get(idOf(key).edge)?.find(({ id }) => id === order?.protocol) ?? null;
  }

  /** How people call a bed. */
  label(key: string): string {
    return labelOf(idOf(key), this.#names.get(key), this.edges.length);
  }

  /** Edge seconds since an ISO time of a bed's edge; null while its clock or the time is unknown. */
  since_s(iso: string | null | undefined, key: string): number | null {
    const edge_ms = this.edge_ms(key);
    const at = iso ? Date.parse(iso) : Number.NaN;
    return edge_ms === null || Number.isNaN(at) ? null : (edge_ms - at) / 1000;
  }

  broken(): Broken | null {
    const now = this.now_ms();
    const broken = brokenHop({
      silent_s: this.#heard_ms === null ? null : (now - this.#heard_ms) / 1000, closed: this.#closed,
      behind_s: this.edgeClock.behind_s(), hops: this.#hops(), edge_ms: this.edgeClock.now_ms(now),
    });
    if (broken === null && this.brokenEdges().length === 0) this.#broken_since_ms = null;
    else this.#broken_since_ms ??= now;
    return broken;
  }

  /** Edges that are not live while another is: their beds alone are not. */
  brokenEdges(): Broken[] {
    if (this.edges.length < 2) return [];
    return this.edges.flatMap((edge) => brokenEdge(edge, this.#edgeHealth.get(edge), this.edgeClock.now_ms(this.now_ms())) ?? []);
  }

  /** With several edges the page as a whole is live while one of them is. */
  #hops(): Hops | null {
    const parts = [...this.#edgeHealth.values()];
    if (this.hops === null || parts.length < 2) return this.hops;
    const live = parts.find(({ broker, edge }) => broker.ok && edge.ok);
    return live === undefined ? this.hops : { ...this.hops, broker: live.broker, edge: live.edge };
  }

  /** Whether the feed has been broken long enough for that itself to sound. */
  brokenLong(): boolean {
    return (this.broken() !== null || this.brokenEdges().length > 0) && this.#broken_since_ms !== null && this.now_ms() - this.#broken_since_ms > TONE_AFTER_S * 1000;
  }

  silent_s(): number {
    return this.#heard_ms === null ? 0 : (this.now_ms() - this.#heard_ms) / 1000;
  }

  /** How this bed's numbers are to be judged at this moment. */
  context(key: string): Context {
    const state = this.states.get(key);
    const health = this.#edgeHealth.get(idOf(key).edge);
    const bp_over_s = this.since_s(state?.session?.bp_due, key);
    return {
      bp_due_s: bp_over_s === null ? null : -bp_over_s,
      now_ms: this.now_ms(), speed: this.edgeClock.speed, nibp_interval_min: state?.session?.order?.nibp_interval_min ?? null,
      live: this.broken() === null && state?.live !== false && health?.edge.ok !== false && health?.broker.ok !== false,
    };
  }

  /** What is to sound, over all edges; an event's number counts only within its edge. */
  audible(): { priority: Priority; sounding: Sounding[] } {
    let priority: Priority = "none";
    const sounding: Sounding[] = [];
    for (const edge of this.edges) {
      const states = [...this.states.values()].filter((state) => state.edge === edge);
      const loud = audible(states, this.edge_ms(`${edge}/`), (alarm) => this.#seenLive.has(alarm.alarm));
      if (RANK[loud.priority] > RANK[priority]) priority = loud.priority;
      sounding.push(...loud.seqs.map((seq) => ({ edge, seq })));
    }
    return { priority, sounding };
  }

  /** What beds say for information, newest first. */
  information(): { bed: string; said: InformationNow }[] {
    const all = [...this.states].flatMap(([bed, state]) => (state.information ?? []).map((said) => ({ bed, said })));
    return all.sort((a, b) => b.said.at.localeCompare(a.said.at));
  }

  /** How many information signals came since this was last asked; what a retained state told is history. */
  takenInformation(): number {
    const count = this.#informed;
    this.#informed = 0;
    return count;
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
        this.troubles = message.health ?? [];
        this.#edges(message.edges ?? {}, Date.parse(message.at));
        break;
      case "ward": this.#ward(message.edge, message.beds.map((bed) => keyOf({ edge: message.edge, bed }))); break;
      case "protocols": this.protocols.set(message.edge, message.protocols); break;
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
    this.troubles = [];
    this.#edgeHealth.clear();
    this.#heard_ms = null;
    this.#seenLive.clear();
    this.changed();
  }

  #hello(hello: Extract<ServerMessage, { t: "hello" }>): void {
    this.edgeClock.reset(hello.speed);
    this.edgeClock.beat(Date.parse(hello.now), this.now_ms());
    this.edges = hello.edges ?? [hello.edge];
    this.build = hello.build ?? null;
    this.simulated = hello.simulated;
    const ward = hello.ward ?? hello.beds.map((bed) => ({ edge: hello.edge, bed, name: bed }));
    for (const bed of ward) this.#names.set(keyOf(bed), bed.name);
    const beds = ward.map(keyOf);
    this.beds = [...this.beds.filter((bed) => beds.includes(bed)), ...beds.filter((bed) => !this.beds.includes(bed))];
    this.hops = null;
    for (const [bed, state] of this.states) this.states.set(bed, { ...state, live: false }); // until the feed repeats them
  }

  /** The edge has these beds now, and no others. */
  #ward(edge: string, keys: string[]): void {
    this.beds = [...this.beds.filter((key) => idOf(key).edge !== edge || keys.includes(key)), ...keys.filter((key) => !this.beds.includes(key))];
    for (const held of [this.states, this.vitals]) for (const key of held.keys()) if (!this.beds.includes(key)) held.delete(key);
  }

  #edges(edges: Record<string, EdgeHealth>, console_ms: number): void {
    this.#edgeHealth = new Map(Object.entries(edges));
    for (const [edge, { at }] of this.#edgeHealth) {
      const offset_ms = Date.parse(at) - console_ms;
      if (Number.isFinite(offset_ms)) this.#offsets_ms.set(edge, offset_ms);
    }
  }

  #vitals(vitals: Vitals): void {
    const key = keyOf(vitals);
    const now = this.now_ms();
    const edge_ms = this.edge_ms(key);
    this.#know(key);
    const numerics: Record<string, Received<Numeric>> = {};
    for (const [metric, numeric] of Object.entries(vitals.numerics)) numerics[metric] = receive(numeric, now, edge_ms);
    this.vitals.set(key, {
      at: vitals.at, simulated: vitals.simulated, numerics, others: (vitals.others ?? []).map((other) => receive(other, now, edge_ms)), pump: vitals.pump ? receive(vitals.pump, now, edge_ms) : null,
    });
  }

  #state(state: BedState): void {
    this.#know(keyOf(state));
    tellLocally(state);
    this.states.set(keyOf(state), state);
    if (state.session) forgetStart(keyOf(state));
    if (state.live) for (const { alarm } of state.alarms) this.#seenLive.add(alarm);
  }

  #event(event: EdgeEvent): void {
    if (event.bed === null) return;
    const key = keyOf({ edge: event.edge, bed: event.bed });
    if (event.kind === "attention" && event.body["change"] === "information" && !event.late) this.#informed += 1;
    this.events.set(key, (this.events.get(key) ?? 0) + 1);
  }

  #know(bed: string): void {
    if (!this.beds.includes(bed)) this.beds.push(bed);
  }
}

export const store = new Store();

/** The times in the texts of a state that has just been read, as the wall's clock has them. */
function tellLocally(state: BedState): void {
  const { session } = state;
  for (const alarm of state.alarms) alarm.text = dated(alarm.text, alarm.text_at);
  for (const told of [...state.alarms, ...(session?.next ?? []), ...(session?.open_items ?? [])]) told.text = onTheWall(told.text, state.at);
  if (session) session.open = session.open.map((text) => onTheWall(text, state.at));
}
