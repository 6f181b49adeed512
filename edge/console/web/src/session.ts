/** Who is signed in, and what runs while they are: feed, sound, ticker. Wires the parts; holds no state of its own. */
import { login, logout, whoAmI } from "./api.ts";
import { Sounder } from "./audio.ts";
import { forgetDrafts } from "./drafts.ts";
import { Live } from "./live.ts";
import { RANK } from "./rank.ts";
import { store } from "./state.ts";
import type { Me, Priority } from "./types.ts";

export const live = new Live(store);
export const sounder = new Sounder();

const QUIET_MS = 120_000;
let quietUntil_ms = 0;

/** A technician's screen watches devices: it does not sound, and so never counts as someone hearing an alarm. */
export function sounds(): boolean {
  return store.me?.role === "nurse";
}

/** Silences, for two minutes, the tone by which this screen announces that it is not live. Alarms still sound. */
export function quietNotLive(): void {
  quietUntil_ms = store.now_ms() + QUIET_MS;
  tick();
}

/** Whether the broken feed is itself being sounded. */
export function notLiveSounds(): boolean {
  return store.brokenLong() && store.now_ms() > quietUntil_ms;
}

function tick(): void {
  live.tick();
  const wanted = store.audible();
  const broken: Priority = notLiveSounds() ? "medium" : "none";
  const priority = RANK[broken] > RANK[wanted.priority] ? broken : wanted.priority;
  sounder.tick({ priority, sounding: wanted.sounding }, performance.now(), sounds());
  store.changed();
}

function signedIn(me: Me): void {
  store.me = me;
  live.start();
  store.changed();
}

export async function signIn(name: string, password: string): Promise<string | null> {
  void sounder.enable(); // this tap or key is the gesture a browser asks for
  const answer = await login(name, password);
  if (typeof answer === "string") return answer;
  signedIn(answer);
  return null;
}

export async function signOut(): Promise<void> {
  await logout();
  leave();
}

function leave(): void {
  live.stop();
  forgetDrafts();
  store.forget();
}

async function checkSignedIn(): Promise<void> {
  if ((await whoAmI()) === null) leave();
}

async function begin(): Promise<void> {
  const me = await whoAmI();
  if (me === "unreachable") {
    setTimeout(() => void begin(), 1000);
    return;
  }
  if (me === null) store.forget();
  else signedIn(me);
}

export function start(): void {
  live.onHello = () => {
    sounder.forgetReports();
    if (sounds()) live.send({ t: "sound", state: sounder.state });
  };
  live.onRefused = () => void checkSignedIn();
  sounder.onState = (state) => {
    if (sounds()) live.send({ t: "sound", state });
    store.changed();
  };
  sounder.onSounded = (event) => live.send({ t: "sounded", ...event });
  new Worker(new URL("./ticker.ts", import.meta.url), { type: "module" }).onmessage = tick;
  void sounder.enable();
  void begin();
}
