/** The trend draws every gap that was, and none that was not, at any speed of the edge clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { append, emptyTrend, fromHistory, type Trended } from "../src/trenddata.ts";

const NOON = Date.parse("2026-09-21T12:00:00.000Z");
const METRICS = ["spo2_pct", "pulse_bpm"] as const;
const empty = (): Trended => emptyTrend(METRICS);
const stored = (seconds: number[]) => ({
  at: seconds.map((s) => new Date(NOON + s * 1000).toISOString()),
  metrics: { spo2_pct: seconds.map(() => 97), pulse_bpm: seconds.map(() => 70) }, determinations: [],
});
const gaps = (trended: Trended): number => trended.columns[1]?.filter((value) => value === null).length ?? 0;

test("a hole in the history stays a hole in the line", () => {
  const trended = fromHistory(stored([0, 10, 20, 200, 210]), METRICS, 0, 1);
  assert.deepEqual(trended.columns[1], [97, 97, 97, null, 97, 97]);
  append(trended, NOON / 1000 + 211, [94, null], 3600, 1);
  append(trended, NOON / 1000 + 300, [94, 71], 3600, 1);
  assert.deepEqual(trended.columns[1], [97, 97, 97, null, 97, 97, 94, null, 94]);
  assert.deepEqual(trended.columns[2]?.slice(-3), [null, null, 71]);
});

// a page that draws once a real second, a little late each time, and then was hidden for `away_s` real seconds
for (const [speed, away_s, expected] of [[1, 19, 0], [1, 21, 1], [0.5, 39, 0], [20, 19, 0], [20, 21, 1], [60, 19, 0], [60, 21, 1]] as const) {
  test(`at ${speed}x a live line breaks ${expected} times when nothing came for ${away_s} real seconds`, () => {
    const trended = empty();
    for (let tick = 0; tick < 30; tick += 1) append(trended, tick * 1.1 * speed, [97, 70], 1e6, speed);
    assert.equal(gaps(trended), 0, "and not once while it was drawn every second");
    append(trended, (29 * 1.1 + away_s) * speed, [97, 70], 1e6, speed);
    assert.equal(gaps(trended), expected);
  });
}

test("a stored line on a fast edge clock is not broken by the pace of the wire", () => {
  const uneven = [0, 4, 8, 12, 16, 56, 60, 64]; // a 2 s pause of the wire is 40 edge seconds at 20x
  assert.equal(gaps(fromHistory(stored(uneven), METRICS, 0, 20)), 0);
  assert.equal(gaps(fromHistory(stored(uneven), METRICS, 0, 1)), 1);
});

test("what the last patient left at this bed is not in this session's trend", () => {
  const history = {
    ...stored([0, 10, 20, 30]),
    determinations: [5, 25].map((s) => ({ at: new Date(NOON + s * 1000).toISOString(), sbp_mmhg: 120, dbp_mmhg: 80, map_mmhg: 90 })),
  };
  const trended = fromHistory(history, METRICS, NOON / 1000 + 20, 1);
  assert.deepEqual(trended.columns[0].map((x) => x - NOON / 1000), [20, 30]);
  assert.deepEqual(trended.determinations.map(({ at }) => Date.parse(at) - NOON), [25_000]);
});

test("a metric without a value in the history is a line of gaps, whatever it is called", () => {
  assert.deepEqual(fromHistory(stored([0, 10]), ["etco2_mmhg", "spo2_pct"], 0, 1).columns.slice(1), [[null, null], [97, 97]]);
});
