/** A number dies by itself: by its own age, the server's word, a broken feed, or a delay on the way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ageOf, ageWords, type Context, dated, gapWords, onTheWall, receive, show, staleAfter, stopwatch } from "../src/age.ts";
import { EdgeClock, Monotonic } from "../src/clock.ts";
import { brokenHop } from "../src/liveness.ts";
import type { Hops, Numeric } from "../src/feed.ts";

const AT = Date.parse("2026-09-21T12:00:00.000Z");
const numeric = (more: Partial<Numeric> = {}): Numeric => ({
  value: 97, at: new Date(AT).toISOString(), age_s: 0.3, stale: false, validity: "valid", reason: null, device: "oximeter", ...more,
});
const at = (now_ms: number, more: Partial<Context> = {}): Context => ({ now_ms, speed: 1, nibp_interval_min: 5, live: true, ...more });

test("a number is live until its limit and old from then on, with no further message", () => {
  const received = receive(numeric({ age_s: 1 }), 0, null);
  assert.equal(show("spo2_pct", received, at(8_999)).standing, "live");
  assert.equal(show("spo2_pct", received, at(9_100)).standing, "old");
  assert.equal(Math.round(show("spo2_pct", received, at(60_000)).age_s), 61);
});

test("the cuff's limit is its interval and 5 minutes", () => {
  assert.equal(staleAfter("sbp_mmhg", 5, 1), 600);
  assert.equal(staleAfter("dbp_mmhg", 10, 1), 900);
  assert.equal(staleAfter("map_mmhg", null, 1), 600);
});

test("edge time runs faster in a demonstration, but the wire keeps 3 real seconds", () => {
  assert.equal(ageOf(receive(numeric({ age_s: 0 }), 0, null), 2_000, 10), 20);
  assert.deepEqual([1, 3, 10].map((speed) => staleAfter("spo2_pct", null, speed)), [10, 10, 30]);
});

test("the server's stale mark and a broken feed make it old at once; no value is never a number", () => {
  assert.equal(show("spo2_pct", receive(numeric({ stale: true }), 0, null), at(0)).standing, "old");
  assert.equal(show("spo2_pct", receive(numeric(), 0, null), at(0, { live: false })).standing, "old");
  const off = show("spo2_pct", receive(numeric({ value: null, validity: "invalid", reason: "sensor_off" }), 0, null), at(0));
  assert.deepEqual([off.standing, off.why], ["absent", "sensor_off"]);
  assert.equal(show("spo2_pct", undefined, at(0)).standing, "none");
});

test("a future time never makes a number fresher, a delay on the way makes it older", () => {
  assert.equal(receive(numeric({ age_s: 4 }), 0, AT - 300_000).age_s, 4);
  assert.equal(receive(numeric({ age_s: -50 }), 0, null).age_s, 0);
  assert.equal(receive(numeric(), 0, AT + 42_000).age_s, 42);
});

test("a frozen tab that reads a minute of queued beats knows that it is behind", () => {
  const clock = new EdgeClock();
  clock.beat(AT, 0);
  clock.beat(AT + 1000, 1000);
  assert.equal(clock.behind_s(), 0);
  clock.beat(AT + 2000, 62_000);
  assert.equal(clock.behind_s(), 60);
  assert.equal(clock.now_ms(62_000), AT + 62_000);
  clock.beat(AT + 62_100, 62_150);
  assert.ok(clock.behind_s() < 0.1);
});

test("two crystals that differ by 50 ppm do not add up to a delay in a day", () => {
  const clock = new EdgeClock();
  for (let second = 0; second <= 86_400; second += 60) clock.beat(AT + second * 1000 * (1 - 50e-6), second * 1000);
  assert.ok(clock.behind_s() < 0.1, String(clock.behind_s()));
});

test("sleep counts, a clock set back does not", () => {
  let [monotonic, wall] = [0, AT];
  const clock = new Monotonic(() => monotonic, () => wall);
  [monotonic, wall] = [1000, AT + 3_601_000];
  assert.equal(clock.now_ms(), 3_601_000);
  [monotonic, wall] = [2000, AT - 86_400_000];
  assert.equal(clock.now_ms(), 3_602_000);
});

const fine = { ok: true };
const hops = (more: Partial<Hops>): Hops => ({ broker: fine, edge: fine, console: fine, sound: fine, ...more });
const FEEDS = [
  ["nothing ever came", null, 0, hops({}), "page"], ["silent 3.1 s", 3.1, 0, hops({}), "page"], ["behind", 0.2, 3.5, hops({}), "page"],
  ["no beat yet", 0.1, 0, null, "page"], ["broker down", 0.5, 0, hops({ broker: { ok: false }, edge: { ok: false } }), "broker"],
  ["edge silent", 0.5, 0, hops({ edge: { ok: false } }), "edge"], ["console ill", 0.5, 0, hops({ console: { ok: false } }), "console"],
  ["all well", 2.9, 0, hops({}), undefined], ["only sound", 0.5, 0, hops({ sound: { ok: false } }), undefined],
] as const;
for (const [name, silent_s, behind_s, latest, hop] of FEEDS) {
  test(`not live: ${name}`, () => assert.equal(brokenHop({ silent_s, behind_s, hops: latest, edge_ms: null })?.hop, hop));
}

test("ages in words", () => {
  assert.deepEqual([0, 12, 240, 3900].map((age_s) => ageWords(age_s)), ["now", "12 s", "4 min", "1 h 05"]);
  assert.equal(ageWords(2.9, false), "2 s", "what is old is never now");
  assert.deepEqual([42, 725, 3720].map(stopwatch), ["0:42", "12:05", "1:02:00"]);
});

test("a gap within a minute is told by its length, not as from 02:29 to 02:29", () => {
  assert.match(gapWords({ from: "2026-09-21T08:29:10.000Z", to: "2026-09-21T08:29:13.400Z" }), /^Not watched for 3 s at \d\d:29$/);
  assert.match(gapWords({ from: "2026-09-21T08:29:10.000Z", to: "2026-09-21T08:31:00.000Z" }), /^Not watched \d\d:29 to \d\d:31$/);
});

test("the edge's times in a text are those of the wall here", () => {
  const wall = (utc: string): string => `${String(new Date(utc).getHours()).padStart(2, "0")}:${String(new Date(utc).getMinutes()).padStart(2, "0")}`;
  const near = "2026-09-21T12:00:00.000Z";
  assert.equal(onTheWall("not watched for 69 s until 04:33 UTC", near), `not watched for 69 s until ${wall("2026-09-21T04:33:00.000Z")}`);
  assert.equal(onTheWall("yes, 23:59 UTC; no, 00:01 UTC", near), `yes, ${wall("2026-09-21T23:59:00.000Z")}; no, ${wall("2026-09-21T00:01:00.000Z")}`);
  for (const text of ["24:00 UTC", "4:33 UTC", "04:33", "04:60 UTC", "UTC"]) assert.equal(onTheWall(text, near), text);
  assert.equal(onTheWall("until 04:33 UTC", "never"), "until 04:33 UTC");
});

test("a text that ages says when it was true", () => {
  const said = "2026-09-21T12:00:00.000Z";
  for (const text of ["the last one 25 min ago", "none for 15 min", "taken 8 s ago"]) assert.match(dated(`Check-in overdue: ${text}`, said), /^Check-in overdue: .* \(at \d\d:\d\d\)$/);
  for (const text of ["SpO₂ 88 %: low oxygen saturation", "for 15 min above 180", "not watched for 69 s until 04:33 UTC"]) assert.equal(dated(text, said), text);
  assert.equal(dated("the last one 25 min ago", undefined), "the last one 25 min ago", "an edge that does not say");
});
