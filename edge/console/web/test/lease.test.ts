/** A sign-in warns 30 minutes before its end, locks instead of ending, and is prolonged while it is used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Me } from "../src/feed.ts";
import { endOf, isRenewalDue, type Lease, leaseOf } from "../src/lease.ts";

const MIN = 60_000;
const me = (more: Partial<Me> = {}): Me => ({
  name: "ann", role: "nurse", csrf: "x", now: "2026-09-21T08:00:00.000Z", expires_at: "2026-09-21T20:00:00.000Z", ...more,
});

for (const [minutes, state] of [[0, "good"], [11 * 60 + 29, "good"], [11 * 60 + 30, "ending"], [12 * 60 - 1, "ending"], [12 * 60, "locked"]] as const) {
  test(`${minutes} minutes after a sign-in of 12 hours it is ${state}`, () => {
    const lease: Lease = leaseOf(me(), endOf(me(), 0, 1), minutes * MIN);
    assert.equal(lease.state, state);
  });
}

test("on a clock 20 times as fast 12 hours of it are 36 minutes here", () => assert.equal(endOf(me(), 0, 20), 36 * MIN));

test("a console that names no end never locks a screen, and one that says locked is believed", () => {
  const { expires_at: _, ...endless } = me();
  assert.equal(endOf(endless, 0, 1), null);
  assert.equal(leaseOf(endless, null, 1e12).state, "good");
  assert.equal(leaseOf(me({ locked: true }), 12 * 60 * MIN, 0).state, "locked");
});

for (const [used, renewed, now, due] of [[0, 0, 6, false], [3, 0, 4, false], [3, 0, 5, true], [3, 5, 20, false], [19, 5, 20, true]] as const) {
  test(`used at ${used}, asked at ${renewed}: at ${now} min more time is${due ? "" : " not"} asked for`, () =>
    assert.equal(isRenewalDue(me(), used * MIN, renewed * MIN, now * MIN), due));
}

const idle = me({ lock_after_s: 15 * 60, expires_at: "2026-09-21T08:15:00.000Z" });
for (const [minutes, state] of [[11, "good"], [12, "ending"], [15, "locked"]] as const) {
  test(`of a screen that locks after 15 minutes nobody has touched it for ${minutes}: ${state}`, () =>
    assert.equal(leaseOf(idle, endOf(idle, 0, 1), minutes * MIN).state, state));
}

test("whoever touches it has more time asked for every 3 minutes", () => {
  assert.equal(isRenewalDue(idle, 2 * MIN, 0, 2.9 * MIN), false);
  assert.equal(isRenewalDue(idle, 2 * MIN, 0, 3 * MIN), true);
});
