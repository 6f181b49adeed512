/** Which alarm comes first, and which are heard. Pure. */
import type { Alarm, Priority } from "./feed.ts";

export const RANK: Record<Priority, number> = { high: 3, medium: 2, low: 1, none: 0 };
const STATE_RANK: Record<string, number> = { active: 2, latched: 1, acknowledged: 0 };

/** Alarms a person is shown, the most pressing first: unacknowledged before acknowledged, then priority, the patient's before the equipment's, newest first. */
export function ranked(alarms: readonly Alarm[]): Alarm[] {
  const seen = alarms.filter((alarm) => alarm.state in STATE_RANK && RANK[alarm.priority] > 0);
  return seen.sort((a, b) => weight(b) - weight(a) || b.since.localeCompare(a.since) || a.alarm.localeCompare(b.alarm));
}

function weight(alarm: Alarm): number {
  const open = alarm.state === "acknowledged" ? 0 : 100;
  return open + RANK[alarm.priority] * 10 + (alarm.class === "technical" ? 0 : 5) + (STATE_RANK[alarm.state] ?? 0);
}

export interface Frame { priority: Priority; flashing: boolean }

/** How a bed's tile is framed: the highest priority present, or that an alarm had before it fell and that nobody has acknowledged; flashing while one of that priority is active. */
export function frameOf(alarms: readonly Alarm[]): Frame {
  let frame: Frame = { priority: "none", flashing: false };
  for (const alarm of ranked(alarms)) {
    const levels = [{ priority: alarm.priority, flashing: alarm.state === "active" }];
    if (alarm.worst !== undefined) levels.push({ priority: alarm.worst.priority, flashing: false });
    for (const level of levels) {
      const by = RANK[level.priority] - RANK[frame.priority];
      if (by > 0 || (by === 0 && level.flashing)) frame = level;
    }
  }
  return frame;
}

/** At which priority an alarm sounds, a pause and a shelf aside: its own while it is active, or what of it sounds until it is acknowledged. */
export function soundOf(alarm: Alarm): Priority {
  return alarm.sound ?? (alarm.state === "active" ? alarm.priority : "none");
}

export interface Audible { priority: Priority; seqs: number[] }

/**
 * What is to sound: the highest priority active, or over where its sound latches, neither paused nor shelved, and every alarm that sounding announces. `known` tells
 * the alarms once seen live: one that was only ever read from a retained state is history and stays silent.
 */
export function audible(
  beds: Iterable<{ alarms: readonly Alarm[]; audio_paused_until: string | null }>, edge_ms: number | null,
  known: (alarm: Alarm) => boolean,
): Audible {
  let priority: Priority = "none";
  const seqs: number[] = [];
  for (const bed of beds) {
    if (isPaused(bed.audio_paused_until, edge_ms)) continue;
    for (const alarm of bed.alarms) {
      const sound = soundOf(alarm);
      if (RANK[sound] === 0 || isPaused(alarm.shelved_until ?? null, edge_ms) || !known(alarm)) continue;
      seqs.push(alarm.seq);
      if (RANK[sound] > RANK[priority]) priority = sound;
    }
  }
  return { priority, seqs };
}

/** Whether a pause still holds. With the edge clock unknown it does not: sound is the safe side. */
export function isPaused(until: string | null, edge_ms: number | null): boolean {
  return until !== null && edge_ms !== null && Date.parse(until) > edge_ms;
}
