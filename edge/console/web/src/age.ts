/** How old a number is, and when it is too old to be shown as live. Pure: every time is an argument. */
import type { Numeric, OtherNumeric, Pump } from "./feed.ts";

const WIRE_STALE_S = 10; // oximeter and pump send every second: ten missed is no longer live
const WIRE_STALE_REAL_S = 3; // in a fast demonstration the wire still speaks in real seconds
const NIBP_STALE_S = 600; // where no session says an interval
const NIBP_SLACK_S = 300;
const NIBP = new Set(["sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm"]);

/** What is kept of a number that arrived: how old it was then, and when that was on the page's clock. */
export interface Received<T> { latest: T; age_s: number; received_ms: number }

/** Edge seconds. Where the edge clock is known, a number held up on its way is aged by the delay. */
export function receive<T extends { age_s: number; at: string }>(
  latest: T, received_ms: number, edge_ms: number | null,
): Received<T> {
  const own = Number.isFinite(latest.age_s) ? Math.max(0, latest.age_s) : 0;
  const at = Date.parse(latest.at);
  const byClock = edge_ms === null || Number.isNaN(at) ? 0 : (edge_ms - at) / 1000;
  return { latest, age_s: Math.max(own, byClock), received_ms };
}

/** Edge seconds since the device said it. */
export function ageOf(received: Received<unknown>, now_ms: number, speed: number): number {
  return received.age_s + (Math.max(0, now_ms - received.received_ms) / 1000) * speed;
}

/** The age in edge seconds from which a metric is no longer live. */
export function staleAfter(metric: string, nibp_interval_min: number | null, speed: number): number {
  if (NIBP.has(metric)) return nibp_interval_min === null ? NIBP_STALE_S : nibp_interval_min * 60 + NIBP_SLACK_S;
  return Math.max(WIRE_STALE_S, WIRE_STALE_REAL_S * speed);
}

/** live: show it. old: grey, with its age. absent: the device gave no number; say why. none: never heard of. */
export type Standing = "live" | "old" | "absent" | "none";

export interface Shown { standing: Standing; value: number | null; age_s: number; why: string | null }

/** `bp_due_s`: so long until the next blood pressure is due, edge time, as the edge says; null: it says nothing. */
export interface Context { now_ms: number; speed: number; nibp_interval_min: number | null; bp_due_s?: number | null; live: boolean }

/** How one number is to be shown at this moment. `live` is false while the way to the page is broken. */
export function show(metric: string, received: Received<Numeric> | undefined, context: Context): Shown {
  if (received === undefined) return { standing: "none", value: null, age_s: 0, why: null };
  const age_s = ageOf(received, context.now_ms, context.speed);
  const { value, stale, reason, validity } = received.latest;
  if (value === null) return { standing: "absent", value, age_s, why: reason ?? validity };
  const limit = staleAfter(metric, context.nibp_interval_min, context.speed);
  const old = !context.live || stale || age_s > limit;
  return { standing: old ? "old" : "live", value, age_s, why: old || validity === "valid" ? null : reason ?? validity };
}

/** What a second device says of a metric, named. */
export interface ShownOther extends Shown { metric: string; device: string }

export function showOther(received: Received<OtherNumeric>, context: Context): ShownOther {
  const { metric, device } = received.latest;
  return { ...show(metric, { ...received, latest: { ...received.latest, validity: "valid", reason: null } }, context), metric, device };
}

/** Whether the pump's own status may still be shown as live. */
export function pumpIsLive(pump: Received<Pump>, context: Context): boolean {
  return context.live && !pump.latest.stale && ageOf(pump, context.now_ms, context.speed) <= staleAfter("pump", null, context.speed);
}

/** An age in words a glance takes in: "now" (`live` alone: what is old is never "now"), "12 s", "4 min", "1 h 05". */
export function ageWords(age_s: number, live = true): string {
  const whole = Math.max(0, Math.floor(age_s));
  if (whole < 3 && live) return "now";
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}`;
}

/** A duration as a stop-watch shows it: "0:42", "12:05", "1:02:00". */
export function stopwatch(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${hours > 0 ? two(Math.floor((whole % 3600) / 60)) : Math.floor(whole / 60)}:${two(whole % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest;
}

/** A time in which nobody watched: from when to when, or for how long where both are the same minute. */
export function gapWords({ from, to }: { from: string; to: string }): string {
  if (clockTime(from) !== clockTime(to)) return `Not watched ${clockTime(from)} to ${clockTime(to)}`;
  return `Not watched for ${Math.max(1, Math.round((Date.parse(to) - Date.parse(from)) / 1000))} s at ${clockTime(to)}`;
}

/** A text that says how long ago something was is true at one moment: "the last one 25 min ago (at 03:09)". */
export function dated(text: string, at: string | undefined): string {
  return at !== undefined && /\b\d+ (?:min|s) ago\b|\bnone for \d+ min\b/.test(text) ? `${text} (at ${clockTime(at)})` : text;
}

/** A text of the edge's, which knows no wall: "until 04:33 UTC" as "until 06:33" where it is. `near`: about when it was said. */
export function onTheWall(text: string, near: string): string {
  const day = new Date(near);
  if (Number.isNaN(day.getTime())) return text;
  return text.replace(/\b([01]\d|2[0-3]):([0-5]\d) UTC\b/g, (_, hours: string, minutes: string) => clockTime(new Date(day).setUTCHours(Number(hours), Number(minutes))));
}

/** hh:mm on the wall of whoever looks. */
export function clockTime(iso: string | number | null | undefined): string {
  const at = iso ? new Date(iso) : null;
  if (at === null || Number.isNaN(at.getTime())) return "--:--";
  return `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`;
}
