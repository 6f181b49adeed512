/** The alarm tones keep the table of IEC 60601-1-8; silences are measured from a burst's end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Burst, FUNDAMENTAL_HZ, HARMONICS, schedule } from "../src/sound.ts";

const within = (value: number, low: number, high: number, what: string): void =>
  assert.ok(value >= low - 1e-9 && value <= high + 1e-9, `${what}: ${value} is not in ${low}..${high}`);

/** Durations between the 90 % points, and spacings from the 90 % of a fall to the 90 % of the next rise. */
function measured(burst: Burst): { durations: number[]; spacings: number[] } {
  const rise90 = burst.pulses.map((pulse) => pulse.start_s + 0.9 * pulse.rise_s);
  const fall90 = burst.pulses.map((pulse) => pulse.start_s + pulse.duration_s - 0.9 * pulse.fall_s);
  return {
    durations: rise90.map((at, index) => (fall90[index] ?? 0) - at),
    spacings: rise90.slice(1).map((at, index) => at - (fall90[index] ?? 0)),
  };
}

function of(priority: "high" | "medium" | "low"): Burst {
  const burst = schedule(priority);
  assert.ok(burst !== null);
  return burst;
}

test("nothing sounds without an alarm", () => assert.equal(schedule("none"), null));

const TABLE = [
  ["high", 10, 0.075, 0.2, 2.5, 15],
  ["medium", 3, 0.125, 0.25, 2.5, 30],
  ["low", 2, 0.125, 0.25, 15, 60],
] as const;
for (const [priority, pulses, shortest, longest, quietLeast, quietMost] of TABLE) {
  test(`${priority}: ${pulses} pulses, durations and silence within the standard`, () => {
    const burst = of(priority);
    assert.equal(burst.pulses.length, pulses);
    for (const duration of measured(burst).durations) within(duration, shortest, longest, "t_d");
    within(burst.silence_s, quietLeast, quietMost, "silence");
    const last = burst.pulses.at(-1);
    assert.ok(last !== undefined && Math.abs(burst.length_s - last.start_s - last.duration_s) < 1e-9, "a burst ends with its last pulse");
  });
}

test("high: 3+2, a gap, 3+2", () => {
  const { spacings } = measured(of("high"));
  const duration = 0.15;
  for (const index of [0, 1, 3, 5, 6, 8]) within(spacings[index] ?? 0, 0.05, 0.125, `spacing ${index}`);
  const spacing = spacings[0] ?? 0;
  for (const index of [2, 7]) within(spacings[index] ?? 0, 2 * spacing + duration, 2 * spacing + duration, "between pulse 3 and 4");
  within(spacings[4] ?? 0, 0.35, 1.3, "between pulse 5 and 6");
});

test("medium and low: even spacing", () => {
  for (const priority of ["medium", "low"] as const) for (const spacing of measured(of(priority)).spacings) within(spacing, 0.125, 0.25, priority);
});

test("rise is 15 to 18 % of the pulse, rise and fall fit in the spacing", () => {
  for (const priority of ["high", "medium", "low"] as const) {
    const { durations, spacings } = measured(of(priority));
    of(priority).pulses.forEach((pulse, index) => within(pulse.rise_s / (durations[index] ?? 1), 0.15, 0.18, "rise"));
    const first = of(priority).pulses[0];
    assert.ok(first !== undefined && first.rise_s + first.fall_s <= Math.min(...spacings));
  }
});

test("the tone: fundamental 150-1000 Hz, four components within 15 dB in 300-4000 Hz, no clipping, high not quieter", () => {
  within(FUNDAMENTAL_HZ, 150, 1000, "fundamental");
  const strong = HARMONICS.filter((level, index) => 20 * Math.log10(level) > -15 && FUNDAMENTAL_HZ * (index + 1) >= 300 && FUNDAMENTAL_HZ * (index + 1) <= 4000);
  assert.ok(strong.length >= 4);
  const sum = HARMONICS.reduce((total, level) => total + level, 0);
  const gains = (["high", "medium", "low"] as const).map((priority) => of(priority).pulses[0]?.gain ?? 0);
  assert.ok(gains.every((gain) => gain * sum <= 1));
  assert.deepEqual([...gains].sort((a, b) => b - a), gains);
});
