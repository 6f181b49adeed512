/** The alarm tones as data: bursts of IEC 60601-1-8. Pure: times in seconds from the burst's start. */
import type { Priority } from "./feed.ts";

export interface Pulse { start_s: number; duration_s: number; rise_s: number; fall_s: number; gain: number }
export interface Burst { pulses: Pulse[]; length_s: number; silence_s: number }

/** Peak of the fundamental; with four harmonics at -5 dB the sum stays below 1. */
const GAIN = { high: 0.3, medium: 0.26, low: 0.2 } as const;
const RISE = 0.16; // of the pulse: legal under both readings of the rise-time rule : 10-40 % in the 2006 text, 10-20 % in checkers written against it

export const FUNDAMENTAL_HZ = 656;
/** Relative amplitude of harmonics 1 to 5: the four strongest within 15 dB, the fundamental within 150-1000 Hz. */
export const HARMONICS = [1, 0.56, 0.56, 0.56, 0.56] as const;

/**
 * A pulse's duration t_d runs from 90 % of its rise to 90 % of its fall, its spacing t_s from there to 90 % of the next
 * rise. The envelope is linear, so the lead-in before 90 % is 0.9 of the rise; spacing is kept between those points.
 */
function burst(
  priority: "high" | "medium" | "low", duration_s: number, gaps_s: readonly number[], silence_s: number,
): Burst {
  const rise_s = duration_s * RISE;
  const fall_s = duration_s * RISE;
  const pulses: Pulse[] = [];
  let at_s = 0.9 * rise_s;
  for (let index = 0; index <= gaps_s.length; index += 1) {
    pulses.push({
      start_s: at_s - 0.9 * rise_s, duration_s: duration_s + 0.9 * rise_s + 0.9 * fall_s, rise_s, fall_s, gain: GAIN[priority],
    });
    at_s += duration_s + (gaps_s[index] ?? 0);
  }
  return { pulses, length_s: at_s + 0.9 * fall_s, silence_s };
}

const TD = 0.15;
const TS = 0.1;
const HALF = [TS, TS, 2 * TS + TD, TS]; // 3 + 2
const BURSTS = {
  high: burst("high", TD, [...HALF, 0.5, ...HALF], 5),
  medium: burst("medium", 0.2, [0.2, 0.2], 10),
  low: burst("low", 0.2, [0.2], 25),
} as const;

/** The burst for a priority, and the silence from its end to the start of the next; null: nothing sounds. */
export function schedule(priority: Priority): Burst | null {
  return priority === "none" ? null : BURSTS[priority];
}
