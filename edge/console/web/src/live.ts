/** The live feed: one WebSocket, opened again for ever, and replaced when it goes silent or falls behind. */
import type { BedId } from "./beds.ts";
import { BEHIND_S } from "./liveness.ts";
import type { Store } from "./state.ts";
import type { PageMessage, ServerMessage } from "./feed.ts";

const GIVE_UP_S = 5; // silent for this long: the connection is dead whatever the browser thinks
const RETRY_S = [0.3, 0.6, 1, 2, 3] as const;

export class Live {
  onHello: () => void = () => undefined;
  /** Asked when a connection could not be made: whether whoever sits here is still signed in. */
  onRefused: () => void = () => undefined;

  readonly #store: Store;
  #socket: WebSocket | null = null;
  #opened_ms = 0;
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watching: BedId | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  start(): void {
    this.#connect();
  }

  stop(): void {
    clearTimeout(this.#retry);
    this.#drop();
  }

  send(message: PageMessage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  watch(bed: BedId | null): void {
    this.#watching = bed;
    this.#sendWatch();
  }

  #sendWatch(): void {
    this.send({ t: "watch", edge: this.#watching?.edge ?? null, bed: this.#watching?.bed ?? null });
  }

  /** Called by the page's ticker. */
  tick(): void {
    if (this.#socket === null) return;
    const open_s = (this.#store.now_ms() - this.#opened_ms) / 1000;
    const behind = this.#store.edgeClock.behind_s() > BEHIND_S;
    if (open_s > GIVE_UP_S && (behind || this.#store.silent_s() > GIVE_UP_S)) {
      this.#drop();
      this.#store.closed();
      this.#again();
    }
  }

  #connect(): void {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    this.#socket = socket;
    this.#opened_ms = this.#store.now_ms();
    let welcomed = false;
    socket.onopen = () => this.#store.opened();
    socket.onmessage = (event: MessageEvent<string>) => {
      const message = JSON.parse(event.data) as ServerMessage;
      this.#store.hear(message);
      if (message.t !== "hello") return;
      welcomed = true;
      this.#attempts = 0;
      this.#sendWatch();
      this.onHello();
    };
    socket.onclose = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#store.closed();
      if (!welcomed) this.onRefused();
      this.#again();
    };
  }

  #again(): void {
    const wait_s = RETRY_S[Math.min(this.#attempts, RETRY_S.length - 1)] ?? 3;
    this.#attempts += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), wait_s * 1000);
  }

  /** Lets go of the socket without waiting for a farewell that a dead network never brings. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
