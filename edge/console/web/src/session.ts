/** Who is signed in, and what runs while they are: feed, sound, ticker. Wires the parts; holds no state of its own. */
import { login, logout, renewal, unlock, whenLocked, whoAmI } from "./api.ts";
import { Sounder } from "./audio.ts";
import { ADMINISTRATOR } from "./contract.ts";
import { forgetDrafts } from "./drafts.ts";
import { endOf, isRenewalDue, type Lease, leaseOf } from "./lease.ts";
import { Live } from "./live.ts";
import { RANK } from "./rank.ts";
import { store } from "./state.ts";
import { isClinical } from "./feed.ts";
import type { Me, Priority } from "./feed.ts";

export const live = new Live(store);
export const sounder = new Sounder();

const QUIET_MS = 120_000;
let quietUntil_ms = 0;
let renewed_ms = 0; // when the console last said how long the sign-in holds, or was asked
let known_ms = 0;
let used_ms = 0;
let lastName = "";
let lost = false; // signed out, and not by a hand at this screen

/** Whether this screen was signed out without anybody asking here: it says so, and sounds. */
export function wasSignedOut(): boolean {
  return lost;
}

export function lease(): Lease {
  if (!store.me) return { state: "good" };
  return leaseOf(store.me, endOf(store.me, known_ms, store.edgeClock.speed), store.now_ms());
}

function know(me: Me): void {
  store.me = me;
  known_ms = renewed_ms = store.now_ms();
  store.changed();
}

/** Asks for more time; whatever fails is asked again by the next use. */
export async function renew(): Promise<void> {
  renewed_ms = store.now_ms();
  const me = await renewal();
  if (me !== null) know(me);
}

export async function unlockWith(password: string): Promise<string | null> {
  const answer = await unlock(password);
  if (typeof answer === "string") return answer;
  know(answer);
  return null;
}

function used(): void {
  used_ms = store.now_ms();
  if (sounder.state !== "on") void sounder.enable(); // a tap lets a browser start what it had stopped
}


/** A technician's screen watches devices: it does not sound, and so never counts as someone hearing an alarm. */
export function sounds(): boolean {
  return isClinical(store.me);
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
  if (store.me && lease().state !== "locked" && isRenewalDue(store.me, used_ms, renewed_ms, store.now_ms())) void renew();
  const wanted = store.audible();
  const broken: Priority = notLiveSounds() || lost ? "medium" : "none";
  const priority = RANK[broken] > RANK[wanted.priority] ? broken : wanted.priority;
  if (store.takenInformation() > 0 && sounds()) sounder.inform();
  sounder.tick({ priority, sounding: wanted.sounding }, performance.now(), sounds() || lost);
  store.changed();
}

function signedIn(me: Me): void {
  if (me.name !== lastName) forgetDrafts(); // another nurse shall not find this one's drafts
  lastName = me.name;
  lost = false;
  know(me);
  if (me.role !== ADMINISTRATOR) live.start(); // who manages accounts sees no bed
  void keepAwake();
}

/** A screen that watches does not sleep. The browser lets go whenever the page is hidden, and is asked again after. */
async function keepAwake(): Promise<void> {
  if (!store.me || document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
  await navigator.wakeLock.request("screen").catch(() => undefined); // a low battery may refuse
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
  forgetDrafts();
  lastName = "";
  leave();
}

function leave(): void {
  live.stop();
  store.forget();
}

/** Asks whether this screen is still signed in; if not, it says so. */
export async function checkSignedIn(): Promise<void> {
  if ((await whoAmI()) !== null || !store.me) return;
  lost = sounds();
  leave();
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
  whenLocked(() => {
    if (store.me) store.me = { ...store.me, locked: true };
    store.changed();
  });
  for (const use of ["pointerdown", "keydown"]) addEventListener(use, used, { capture: true, passive: true });
  document.addEventListener("visibilitychange", () => void keepAwake());
  sounder.onState = (state) => {
    if (sounds()) live.send({ t: "sound", state });
    store.changed();
  };
  sounder.onSounded = (event) => live.send({ t: "sounded", ...event });
  new Worker(new URL("./ticker.ts", import.meta.url), { type: "module" }).onmessage = tick;
  void sounder.enable();
  void begin();
}
