/** Alarms of one cause (a gateway, a power strip, the box) as one line. Pure. */
import { RANK } from "./rank.ts";
import type { Alarm, Priority } from "./feed.ts";

export interface Placed { bed: string; alarm: Alarm }
/** What the rail has a line for: one alarm, or all of one cause, the most pressing first. */
export interface Line { cause: string | null; placed: [Placed, ...Placed[]] }

/** `all`, the most pressing first: each alarm a line, those of one cause one; where its most pressing alarm stands. */
export function lines(all: readonly Placed[]): Line[] {
  const found = new Map<string, Line>();
  for (const placed of all) {
    const { alarm: { cause, alarm }, bed } = placed;
    const key = cause === undefined ? `${bed} ${alarm}` : `${bed.split("/")[0]} ${cause.id}`;
    const line = found.get(key);
    if (line !== undefined) line.placed.push(placed);
    else found.set(key, { cause: cause?.text ?? null, placed: [placed] });
  }
  return [...found.values()].map(({ placed, cause }) => ({ placed, cause: placed.length > 1 ? cause : null }));
}

/** Which lines the rail shows: every HIGH, the first of the rest, and the first of one cause, so that neither hides the other. */
export function inRail(all: readonly Line[]): { shown: Line[]; more: number } {
  const rest = all.filter(({ placed: [first] }) => first.alarm.priority !== "high");
  const flood = rest.find(({ cause }) => cause !== null);
  const shown = all.filter((line) => !rest.includes(line) || line === rest[0] || line === flood);
  return { shown, more: all.length - shown.length };
}

/** The most urgent of a line, whether somebody has acknowledged that or not. */
export function urgency({ placed }: Line): Priority {
  return placed.map(({ alarm }) => alarm.priority).reduce((most, one) => (RANK[one] > RANK[most] ? one : most));
}
