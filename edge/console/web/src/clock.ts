/**
 * The page's two clocks: a monotonic one that also counts sleep, and the edge clock as the server's beats tell it.
 *
 * The edge clock is anchored by the beat that arrived with the least delay. A beat that comes later than the anchor
 * foretells was held up on the way, and so was everything around it: that lateness is added to every age, so a tab that
 * was frozen and then reads a minute of queued messages does not take them for fresh.
 */

const SLEEP_S = 2; // a wall clock this far ahead of the monotonic one means the machine slept
const DRIFT = 1e-4; // the two crystals may differ this much; a real delay does not heal at this pace

/** Milliseconds that never run backwards, and that count the time the machine was asleep. */
export class Monotonic {
  #slept_ms = 0;
  #offset_ms: number;
  readonly #monotonic: () => number;
  readonly #wall: () => number;

  constructor(monotonic: () => number, wall: () => number) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#offset_ms = wall() - monotonic();
  }

  now_ms(): number {
    const monotonic = this.#monotonic();
    const offset = this.#wall() - monotonic;
    if (offset - this.#offset_ms > SLEEP_S * 1000) this.#slept_ms += offset - this.#offset_ms;
    this.#offset_ms = offset;
    return monotonic + this.#slept_ms;
  }
}

/** The edge clock, told by beats. Times are milliseconds. */
export class EdgeClock {
  speed = 1;
  #edge_ms: number | null = null;
  #at_ms = 0;
  #behind_s = 0;

  /** Starts anew: what was known of the old connection's delay says nothing of the new one's. */
  reset(speed: number): void {
    this.speed = speed;
    this.#edge_ms = null;
    this.#behind_s = 0;
  }

  beat(edge_ms: number, now_ms: number): void {
    const foretold = this.#foretold_ms(now_ms);
    const behind_s = foretold === null ? 0 : (foretold - edge_ms) / 1000 / this.speed;
    const healing_s = foretold === null ? 0 : ((now_ms - this.#at_ms) / 1000) * DRIFT;
    if (foretold === null || behind_s <= healing_s) {
      this.#edge_ms = edge_ms;
      this.#at_ms = now_ms;
    }
    this.#behind_s = Math.max(0, behind_s);
  }

  /** The edge clock's time now; null before the first beat. */
  now_ms(now_ms: number): number | null {
    return this.#foretold_ms(now_ms);
  }

  /** Real seconds by which the last beat came later than it should have. */
  behind_s(): number {
    return this.#behind_s;
  }

  #foretold_ms(now_ms: number): number | null {
    return this.#edge_ms === null ? null : this.#edge_ms + (now_ms - this.#at_ms) * this.speed;
  }
}
