/** Which alarm is first, how a tile is framed, what is heard. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { audible, frameOf, ranked } from "../src/rank.ts";
import type { Alarm, AlarmState, Priority } from "../src/feed.ts";

const alarm = (name: string, priority: Priority, state: AlarmState, seq = 1): Alarm => ({
  alarm: name, rule: "X", title: "", state, priority, class: "physiological", since: "2026-09-21T12:00:00.000Z", seq, text: name, why: "",
  clears: "", limit: null, evidence: [], by: null, was: "pending", device: null, acknowledged_at: null, no_data: false, phase: null, dissociation: null,
});
const bed = (alarms: Alarm[], audio_paused_until: string | null = null) => ({ alarms, audio_paused_until });
const known = (): boolean => true;
const NOON = Date.parse("2026-09-21T12:00:00.000Z");

test("unacknowledged first, then priority, active before latched; pending and inactive are not shown", () => {
  const list = [alarm("ack high", "high", "acknowledged"), alarm("low", "low", "active"), alarm("latched high", "high", "latched"),
    alarm("high", "high", "active"), alarm("pending", "high", "pending"), alarm("gone", "high", "inactive")];
  assert.deepEqual(ranked(list).map(({ text }) => text), ["high", "latched high", "low", "ack high"]);
});

const FRAMES: readonly [Alarm[], Priority, boolean][] = [
  [[], "none", false],
  [[alarm("a", "high", "acknowledged"), alarm("b", "low", "active")], "high", false],
  [[alarm("a", "high", "acknowledged"), alarm("b", "high", "active")], "high", true],
  [[alarm("a", "medium", "latched")], "medium", false],
  [[{ ...alarm("a", "low", "active"), worst: { rule: "X-3", title: "X", priority: "high", text: "x" } }], "high", false],
  [[{ ...alarm("a", "high", "active"), worst: { rule: "X-3", title: "X", priority: "high", text: "x" } }], "high", true],
];
FRAMES.forEach(([alarms, priority, flashing], index) => {
  test(`frame ${index}: ${priority}${flashing ? ", flashing" : ""}`, () => assert.deepEqual(frameOf(alarms), { priority, flashing }));
});

test("heard: the highest active alarm that is not paused; acknowledged and latched are silent", () => {
  const beds = [bed([alarm("a", "medium", "active", 5)]), bed([alarm("b", "high", "acknowledged", 6), alarm("c", "high", "latched", 7)])];
  assert.deepEqual(audible(beds, NOON, known), { priority: "medium", seqs: [5] });
});

test("heard: what is over or has fallen and sounds until it is acknowledged", () => {
  const over: Alarm = { ...alarm("over", "high", "latched", 8), sound: "high" };
  const fallen: Alarm = { ...alarm("fallen", "low", "active", 9), sound: "medium" };
  assert.deepEqual(audible([bed([over]), bed([fallen])], NOON, known), { priority: "high", seqs: [8, 9] });
  assert.deepEqual(audible([bed([fallen])], NOON, known), { priority: "medium", seqs: [9] });
  assert.deepEqual(audible([bed([over], "2026-09-21T12:02:00.000Z")], NOON, known), { priority: "none", seqs: [] });
});

test("a pause silences its bed until its end, and no other bed", () => {
  const beds = [bed([alarm("a", "high", "active", 5)], "2026-09-21T12:02:00.000Z"), bed([alarm("b", "low", "active", 6)])];
  assert.deepEqual(audible(beds, NOON, known), { priority: "low", seqs: [6] });
  assert.deepEqual(audible(beds, NOON + 120_001, known), { priority: "high", seqs: [5, 6] });
  assert.equal(audible(beds, null, known).priority, "high", "with the time unknown, sound is the safe side");
});

test("an alarm only read from a retained state is history and is not heard", () => {
  assert.equal(audible([bed([alarm("a", "high", "active")])], NOON, () => false).priority, "none");
});
