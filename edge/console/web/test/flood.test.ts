/** Alarms of one cause are one line; no line hides a patient's alarm. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inRail, lines, type Placed, urgency } from "../src/flood.ts";
import { ranked } from "../src/rank.ts";
import type { AlarmState, Priority } from "../src/feed.ts";

const placed = (bed: string, priority: Priority, cause?: string, state: AlarmState = "active"): Placed => ({ bed, alarm: {
  alarm: `${bed} ${priority}`, rule: "X", title: "", state, priority, class: cause === undefined ? "physiological" : "technical", since: "2026-09-21T12:00:00.000Z",
  seq: 1, text: "", why: "", clears: "", limit: null, evidence: [], by: null, was: "pending", device: null, acknowledged_at: null, no_data: false,
  phase: null, dissociation: null, ...(cause === undefined ? {} : { cause: { id: cause, text: `all of ${cause}` } }),
} });
const said = (all: Placed[]): string[] => lines(all).map((line) => `${line.cause ?? "-"}: ${line.placed.map(({ bed }) => bed).join(" ")}`);

test("those of one cause and one edge are one line; one that is left alone is its own", () => {
  assert.deepEqual(said([placed("a/1", "medium", "bus"), placed("a/2", "low", "bus"), placed("b/1", "medium", "bus"), placed("a/3", "high")]),
    ["all of bus: a/1 a/2", "-: b/1", "-: a/3"]);
});

test("a line is as urgent as the worst of it", () => {
  assert.equal(urgency(lines([placed("a/1", "medium", "bus"), placed("a/2", "high", "bus", "acknowledged")])[0]!), "high");
});

test("the rail shows every HIGH, the first of the rest, and the first line of one cause", () => {
  const all = [placed("a/1", "high"), placed("a/2", "high"), placed("a/3", "medium"), placed("a/4", "medium", "bus"), placed("a/5", "medium", "bus"), placed("a/6", "low")];
  const { shown, more } = inRail(lines(all));
  assert.deepEqual(shown.map((line) => line.placed[0].bed), ["a/1", "a/2", "a/3", "a/4"]);
  assert.equal(more, 1);
});

test("a patient's alarm comes before the equipment's of the same priority, however many and new", () => {
  const old = { ...placed("a/1", "medium").alarm, since: "2026-09-21T11:00:00.000Z" };
  const flood = [2, 3, 4].map((bed) => placed(`a/${bed}`, "medium", "bus").alarm);
  assert.equal(ranked([...flood, old])[0], old);
  const high = placed("a/5", "high", "bus").alarm;
  assert.equal(ranked([...flood, old, high])[0], high);
});
