/** How long a sign-in still lasts, and what this screen says of it. Pure: times are milliseconds of the page's clock. */
import type { Me } from "./feed.ts";

const WARN_MS = 30 * 60_000;
const RENEW_EVERY_MS = 5 * 60_000;
const PART = 5; // of a short sign-in, so much is warned of, and as often more time is asked for

/** `locked`: what is shown and heard goes on; acting needs the password. */
export type Lease = { state: "good" } | { state: "ending"; left_ms: number } | { state: "locked" };

/** When the sign-in ends; null: the console did not say. Its clock may run `speed` times as fast as this page's. */
export function endOf({ expires_at, now }: Me, now_ms: number, speed: number): number | null {
  const left_ms = Date.parse(expires_at ?? "") - Date.parse(now ?? "");
  return Number.isNaN(left_ms) ? null : now_ms + left_ms / speed;
}

/** This much of `most_ms`, or of a sign-in that is short. */
function within(me: Me, most_ms: number): number {
  return me.lock_after_s === undefined ? most_ms : Math.min(most_ms, (me.lock_after_s * 1000) / PART);
}

export function leaseOf(me: Me, end_ms: number | null, now_ms: number): Lease {
  if (me.locked === true || (end_ms !== null && now_ms >= end_ms)) return { state: "locked" };
  return end_ms !== null && end_ms - now_ms <= within(me, WARN_MS) ? { state: "ending", left_ms: end_ms - now_ms } : { state: "good" };
}

/** Whether to ask for more time: someone used the screen since the last time it was asked, or never asked for long. */
export function isRenewalDue(me: Me, used_ms: number, renewed_ms: number, now_ms: number): boolean {
  return used_ms > renewed_ms && now_ms - renewed_ms >= within(me, RENEW_EVERY_MS);
}
