/** Every event of a bed in plain words, and the words for what is missing, over, or a device's own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clockTime } from "../src/age.ts";
import { kindOf, sentenceOf } from "../src/eventwords.ts";
import { idOf, labelOf, matching, pathOf } from "../src/beds.ts";
import { placeOf } from "../src/place.ts";
import type { EdgeEvent, Session } from "../src/feed.ts";
import { deviceSays, interlockWords, linkRemedy, linkWords, nextWords, marginWords, noAlarms, overWords, ownLimits, phaseName } from "../src/words.ts";

const AT = "2026-09-21T12:00:00.000Z";
const event = (kind: string, body: EdgeEvent["body"]): EdgeEvent => ({ edge: "clinic-1", seq: 1, bed: "chair-1", at: AT, kind, late: false, body });
const high = { rule: "HTN-3", title: "Severe hypertension", priority: "high", text: "Blood pressure 188/110 mmHg", device: null, phase: "RECOVERY", by: null };
const monitor = { title: "No connection to a monitor", priority: "medium", text: "No connection to a monitor: over", device: "cuff", phase: "RECOVERY" };

const TOLD: [kind: string, body: EdgeEvent["body"], kindWord: string, words: string][] = [
  ["alarm", { ...high, state: "active", was: "pending" }, "Alarm", "HIGH: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "active", was: "acknowledged" }, "Alarm", "HIGH, told again: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "active", was: "active", alarm_phase: "escalate" }, "Alarm", "HIGH, more urgent: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "active", was: "active", alarm_phase: "deescalate", priority: "low" }, "Alarm", "LOW, less urgent: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "active", was: "active", alarm_phase: "update" }, "Alarm", "HIGH, still: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "acknowledged", was: "acknowledged", alarm_phase: "deescalate", priority: "low" }, "Alarm", "LOW, less urgent, acknowledged: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "active", was: "acknowledged", alarm_phase: "continue" }, "Alarm", "HIGH, told again: Blood pressure 188/110 mmHg"],
  ["alarm", { ...high, state: "acknowledged", was: "active", by: "anna" }, "Alarm", "Acknowledged: Blood pressure 188/110 mmHg, by anna"],
  ["alarm", { ...high, state: "latched", was: "active" }, "Alarm", "Over, not acknowledged: Blood pressure 188/110 mmHg (was HIGH)"],
  ["alarm", { ...high, state: "inactive", was: "latched", text: "Severe hypertension: over" }, "Alarm", "Severe hypertension: over (was HIGH)"],
  ["alarm", { ...monitor, state: "inactive", was: "active" }, "Alarm", "No connection to a monitor (cuff): over (was MEDIUM)"],
  ["alarm", { ...monitor, title: "No SpO₂", text: "No SpO₂: see No connection to a monitor", state: "inactive" }, "Alarm", "No SpO₂: see No connection to a monitor (was MEDIUM)"],
  ["alarm", { ...monitor, title: "No connection to the pump", device: "pump", state: "inactive" }, "Alarm", "No connection to the pump: over (was MEDIUM)"],
  ["link", { device: "oximeter", state: "silent", was: "live", reason: "nothing heard for 3 s", identity: null }, "Connection", "No data from oximeter (nothing heard for 3 s)"],
  ["link", { device: "cuff", state: "lost", was: "live", reason: "" }, "Connection", "Cuff connection lost"],
  ["link", { device: "pump", state: "wrong_device", was: "live", reason: "8002-1 expected" }, "Connection", "Wrong pump connected (8002-1 expected)"],
  ["link", { device: "pump", state: "live", was: "silent", reason: "bound by its port" }, "Connection", "Pump connected"],
  ["audio", { paused_until: "2026-09-21T12:02:00.000Z", by: "anna" }, "Sound", "Alarm sound paused for 2:00, until HH:MM, by anna"],
  ["session", { change: "interlock", state: "asked", device: "pump", why: "", by: "anna" }, "Session", "To arm the stop of the pump is asked for, by anna"],
  ["session", { change: "interlock", state: "armed", device: "pump", why: "", by: "ben" }, "Session", "The stop of the pump is armed, by ben"],
  ["session", { change: "interlock", state: "disarmed", device: "pump", why: "the edge was restarted" }, "Session", "The stop of the pump is no longer armed, the edge was restarted"],
  ["session", { change: "pump_stop", stop: "sent", device: "pump", rule: "RES-3", alarm: "a", text: "SpO₂ 84 %" }, "Session", "Stop sent to the pump: SpO₂ 84 %"],
  ["session", { change: "pump_stop", stop: "confirmed", device: "pump", rule: "RES-3", alarm: "a", text: "SpO₂ 84 %" }, "Session", "The pump says that it stands still: SpO₂ 84 %"],
  ["session", { change: "pump_stop", stop: "withdrawn", device: "pump", rule: "RES-3", alarm: "a", text: "SpO₂ 84 %" }, "Session", "Stop not sent any more, the alarm is over: SpO₂ 84 %"],
  ["session", { change: "held", held: true, reason: "she feels unwell", by: "anna" }, "Session", "The treatment is held, she feels unwell, by anna"],
  ["session", { change: "held", held: false, reason: "", by: "anna" }, "Session", "The treatment may go on, by anna"],
  ["session", { change: "limit", limit: "spo2_low", title: "SpO₂, awareness", unit: "%", value: 91, was: 94, usual: 94, reason: "lung disease", by: "hall" }, "Session", "SpO₂, awareness of this patient: 91 %, was 94, usual 94, lung disease, by hall"],
  ["audio", { paused_until: null, by: "anna" }, "Sound", "Pause ended, alarms sound again, by anna"],
  ["device", { device: "pump", alarms: [{ code: "vtbi_done", priority: "medium", raw: "AL_VTBIS", text: "Volume infused, pump stopped" }] }, "Device", "Pump says: Volume infused, pump stopped"],
  ["device", { device: "pump", alarms: [] }, "Device", "Pump: its own alarms are over"],
  ["check_in", { moaas: 5, cadss: null, anxiety: 3, distress: null, nausea: null, symptoms: ["chest_pain"], note: "pale", by: "anna" }, "Check-in", "MOAA/S 5, anxiety 3, chest pain, note: pale, by anna"],
  ["check_in", { moaas: null, cadss: null, anxiety: null, distress: null, nausea: null, symptoms: ["focal_deficit", "itching_skin"], gone: ["dyspnoea"], note: "", by: "anna" }, "Check-in", "Weakness on one side, itching skin, no more: short of breath, by anna"],
  ["check_in", { moaas: null, cadss: null, anxiety: null, distress: null, nausea: null, symptoms: [], note: "", by: "anna" }, "Check-in", "Nothing assessed, by anna"],
  ["check_in", { moaas: null, cadss: null, anxiety: null, distress: null, nausea: null, symptoms: [], note: "", resp_bpm: 7, sbp_mmhg: 182, dbp_mmhg: 104, by: "anna" }, "Check-in", "Respiration 7 /min counted, blood pressure 182/104 mmHg by hand, by anna"],
  ["check_in", { moaas: null, cadss: null, anxiety: null, distress: null, nausea: null, symptoms: [], note: "", spo2_pct: 96, by: "anna" }, "Check-in", "SpO₂ 96 % read by hand, by anna"],
  ["boot", { step_s: -3600.012 }, "Start", "The clock of the box was set by -3600.012 s"],
  ["boot", { gap_s: 31, why: "slept" }, "Start", "Nobody watched for 0:31: the box slept"],
  ["journal", { storage: "failing", reason: "database or disk is full" }, "Record", "Cannot be written: database or disk is full; kept in memory"],
  ["journal", { storage: "healed", since: AT, failed_s: 75.2, reason: "", events: 12, inputs: 900, lost_inputs: 0 }, "Record", "Can be written again: 12 events kept in memory for 1:15 are stored"],
  ["journal", { storage: "healed", since: AT, failed_s: 75.2, reason: "", events: 12, inputs: 900, lost_inputs: 7 }, "Record", "Can be written again: 12 events kept in memory for 1:15 are stored, 7 readings are lost"],
  ["journal", { storage: "space_low", used_pct: 81.3, full_in_s: null }, "Record", "The disk is 81.3 % full"],
  ["journal", { storage: "recovered", console: "main", of_seq: 7, of_at: AT, of_kind: "journal", of_body: { storage: "failing", reason: "disk full" } }, "Record", `Of ${clockTime(AT)}, lost here and given back by console main: Cannot be written: disk full; kept in memory`],
  ["journal", { storage: "begun", damaged_file: "j", damage: "event 3: its hash does not match", after_seq: 2 }, "Record", "Was damaged (event 3: its hash does not match), and goes on in a new file after event 2"],
  ["phase", { phase: "RECOVERY", why: "the ordered dose is in" }, "Phase", "Recovery: the ordered dose is in"],
  ["dissociation", { state: "observed", basis: "nurse: check-in", by: "anna" }, "Dissociation", "Dissociation observed (nurse: check-in), by anna"],
  ["session", { change: "opened", phase: "PRECHECK", by: "anna", order: { dose_mg: 35, duration_min: 40 } }, "Session", "Opened, by anna, order 35 mg in 40 min"],
  ["session", { change: "opened", phase: "PRECHECK", by: "anna", order: { dose_mg: 84, duration_min: null } }, "Session", "Opened, by anna, order 84 mg by hand"],
  ["session", { change: "amended", by: "anna", prescriber: "Dr Berg", reason: "pressure", order: { dose_mg: 56, duration_min: null } }, "Session", "Order amended: 56 mg by hand, ordered by Dr Berg, pressure, by anna"],
  ["session", { change: "dose", by: "anna", devices: 1, mg: 28, lots: ["A17", "B2"] }, "Session", "1 device given: 28 mg, lot A17, B2, by anna"],
  ["session", { change: "closed", phase: "CLOSED", by: "anna", reason: "Discharged", delivered_mg: 35, unmet: ["no check-in"] }, "Session", "Closed, by anna, Discharged, 35 mg given, unmet: no check-in"],
  ["session", { change: "checklist", done: true, by: "anna" }, "Session", "Checklist confirmed, by anna"],
  ["command", { ok: false, verb: "start_session", reason: "bad_args: weight_kg must be a number", by: "anna" }, "Refused", "Start session: Weight kg must be a number, by anna"],
  ["boot", { boot: "b", gap_s: 63.07 }, "Start", "Restarted: nobody watched for 1:03"],
  ["request", { rule: "R", text: "Repeat the blood pressure", why: "x" }, "Request", "Repeat the blood pressure"],
  ["tomorrow", { shade: "blue", depth: 3, nested: {} }, "Tomorrow", "Shade blue, Depth 3"],
  ["alarm", {}, "Alarm", ""],
];
for (const [kind, body, kindWord, words] of TOLD) {
  test(`${kind} ${JSON.stringify(body).slice(0, 90)}`, () => {
    assert.equal(kindOf(event(kind, body)), kindWord);
    assert.equal(sentenceOf(event(kind, body)).replace(/until \d\d:\d\d/, "until HH:MM"), words);
  });
}

test("whatever of an event is not known, it is told", () => {
  for (const [kind, body] of TOLD) for (const key of Object.keys(body)) for (const value of [null, undefined, {}, [], 0, "?"]) {
    assert.equal(typeof sentenceOf(event(kind, { ...body, [key]: value })), "string", `${kind} ${key} ${String(value)}`);
  }
});

test("what is over names its device where the title does not", () => {
  assert.equal(overWords("No connection to a monitor", "oximeter"), "No connection to a monitor (oximeter): over");
  assert.equal(overWords("Pump alarm", "pump"), "Pump alarm: over");
  assert.equal(overWords("Severe hypertension", ""), "Severe hypertension: over");
});

test("whether alarms stop the pump, and that a stop is not confirmed", () => {
  const armed = { device: "pump", state: "armed", first: "anna", second: "ben", since: AT, until: null, stop: null } as const;
  const stop = { at: AT, rule: "RES-3", text: "SpO₂ 84 %" };
  assert.equal(interlockWords(undefined), null);
  assert.deepEqual(interlockWords(armed), { text: "Stop of the pump armed by anna and ben", urgent: false });
  assert.deepEqual(interlockWords({ ...armed, stop: { ...stop, state: "sent" } }), { text: "STOP SENT, NOT CONFIRMED: look at the pump", urgent: true });
  assert.deepEqual(interlockWords({ ...armed, state: "off", stop: { ...stop, state: "unconfirmed" } }), { text: "STOP NOT CONFIRMED: stop the pump by hand", urgent: true });
  assert.equal(interlockWords({ ...armed, stop: { ...stop, state: "not_sent" } })?.urgent, true);
  assert.equal(interlockWords({ ...armed, stop: { ...stop, state: "confirmed" } })?.urgent, false);
  assert.match(interlockWords({ ...armed, state: "asked", second: null, until: AT })?.text ?? "", /^anna asks to arm the stop of the pump: a second person must, by /);
});

test("limits of a patient's own are said with the usual ones", () => {
  const limit = { limit: "spo2_low", title: "SpO₂, awareness", unit: "%", usual: 94, least: 90, most: 97, value: 91, by: "hall", reason: "r", at: AT };
  assert.equal(ownLimits([{ ...limit, value: null }]), null);
  assert.equal(ownLimits(undefined), null);
  assert.equal(ownLimits([limit, { ...limit, limit: "b", value: null }]), "own limits: SpO₂, awareness 91 % (usual 94)");
});

test("how far a number is from its next alarm, and nothing where one has begun", () => {
  const low = { metric: "spo2_pct", rule: "RES-1", title: "", priority: "low", at: 93, worse: -1, twice: false, margin: 4 } as const;
  const bp = { ...low, metric: "sbp_mmhg", at: 144, worse: 1, twice: true } as const;
  assert.equal(marginWords([low, bp], [{ metric: "spo2_pct", value: 97 }]), "4 to the alarm at 93");
  assert.equal(marginWords([low, bp], [{ metric: "spo2_pct", value: 94 }]), "1 to the alarm at 93");
  assert.equal(marginWords([low, bp], [{ metric: "spo2_pct", value: 93 }]), null);
  assert.equal(marginWords([low, bp], [{ metric: "sbp_mmhg", value: 120 }]), "24 to the alarm at 144, twice");
  const dia = { ...bp, metric: "dbp_mmhg", at: 90 } as const;
  const both = (sbp: number, dbp: number) => marginWords([bp, dia], [{ metric: "sbp_mmhg", value: sbp, name: "SYS" }, { metric: "dbp_mmhg", value: dbp, name: "DIA" }]);
  assert.equal(both(120, 74), "DIA 16 to the alarm at 90, twice");
  assert.equal(both(134, 74), "SYS 10 to the alarm at 144, twice");
  assert.equal(both(120, 90), null);
  assert.equal(marginWords([low, bp], [{ metric: "pulse_bpm", value: 70 }]), null);
  assert.equal(marginWords(undefined, [{ metric: "spo2_pct", value: 97 }]), null);
  assert.equal(marginWords([low], [{ metric: "spo2_pct", value: null }]), null);
  assert.equal(marginWords([{ ...low, at: 49 }, { ...low, at: 121, worse: 1 }], [{ metric: "spo2_pct", value: 100 }]), "21 to the alarm at 121");
});

test("no alarm is not claimed while the data stand still", () => {
  assert.equal(noAlarms(true), "No alarms");
  assert.equal(noAlarms(true, true), "No other alarms");
  assert.equal(noAlarms(false, true), "No alarm was known when the data stopped");
});

test("a device's alarm is told in its own words, and without words it is still told", () => {
  const done = { code: "vtbi_done", priority: "medium", raw: "AL_VTBIS", text: "Volume infused, pump stopped" } as const;
  assert.equal(deviceSays({ alarms: [done] }, true, "pump"), "Pump says: Volume infused, pump stopped");
  assert.equal(deviceSays({ alarms: [{ ...done, text: "" }] }, true, "pump"), "Pump says: Vtbi done");
  assert.equal(deviceSays({ alarms: [] }, true, "pump"), "Pump says: alarm, see the pump");
  assert.equal(deviceSays(undefined, true, "pump"), "Pump says: alarm, see the pump");
  assert.equal(deviceSays({ alarms: [] }, false, "pump"), null);
});

test("an address names its bed as it was written, whatever it is", () => {
  for (const [path, bed] of [["/bed/chair-1", "chair-1"], ["/bed/chair-1/", "chair-1"], ["/bed/nope", "nope"], ["/bed/%3Cimg%20src=x%3E", "<img src=x>"], ["/bed/100%", "100%"]] as const) {
    assert.deepEqual(placeOf(path), { page: "bed", bed });
  }
  assert.deepEqual([placeOf("/"), placeOf("/devices"), placeOf("/login")], [{ page: "ward" }, { page: "devices" }, { page: "ward" }]);
});

test("an address names its edge where it must, and a bed of that name at two edges is not guessed", () => {
  assert.deepEqual(placeOf("/bed/clinic-2/chair-1"), { page: "bed", bed: "chair-1", edge: "clinic-2" });
  assert.deepEqual(placeOf("/ward/clinic-2"), { page: "ward", edge: "clinic-2" });
  const keys = ["clinic-1/chair-1", "clinic-2/chair-1", "clinic-2/chair-2"];
  assert.deepEqual(matching(keys, null, "chair-1"), ["clinic-1/chair-1", "clinic-2/chair-1"]);
  assert.deepEqual(matching(keys, "clinic-2", "chair-1"), ["clinic-2/chair-1"]);
  assert.deepEqual(matching(keys, null, "chair-2"), ["clinic-2/chair-2"]);
  assert.deepEqual([pathOf(idOf("clinic-1/chair-1"), 1), pathOf(idOf("clinic-1/chair-1"), 2)], ["/bed/chair-1", "/bed/clinic-1/chair-1"]);
  assert.equal(labelOf(idOf("clinic-2/chair-1"), undefined, 2), "Chair 1 (clinic-2)");
  assert.equal(labelOf(idOf("clinic-2/chair-1"), "Room 4", 1), "Room 4");
});

for (const [link, words] of [
  ["connecting", "Connecting to cuff"], ["silent", "No data from cuff"], ["lost", "Cuff connection lost"],
  ["unstable", "Cuff connection comes and goes"], ["wrong_device", "Wrong cuff connected"],
] as const) {
  test(`a link that is ${link} is told plainly, with what to do next`, () => {
    assert.equal(linkWords(link, "cuff"), words);
    assert.match(linkRemedy(link) ?? "", /^[A-Z].*[.?]$/);
  });
}

test("a dose by hand is not infused, whatever its route", () => {
  const given = (route: string, dose_mg: number | null) =>
    ({ route, order: { dose_mg, dose_mg_kg: dose_mg === null ? 0.5 : null } }) as Session;
  assert.equal(phaseName("INFUSING", given("nasal", 56)), "Dosing");
  assert.equal(phaseName("INFUSING", given("intramuscular", 35)), "Dosing");
  assert.equal(phaseName("INFUSING", given("subcutaneous", null)), "Infusing");
  assert.equal(phaseName("INFUSING", given("intravenous", null)), "Infusing");
  assert.equal(phaseName("INFUSING", null), "Infusing");
  assert.equal(phaseName("RECOVERY", given("nasal", 56)), "Recovery");
});

test("nothing is to be done about a live link", () => assert.equal(linkRemedy("live"), null));

test("what is next stands with its time, which is the latest for what may be done before", () => {
  const words = (what: string, text: string, at: string | null): string | null => nextWords({ next: [{ what, text, at }] });
  assert.match(words("check_in", "check-in", AT) ?? "", /^Next: check-in at \d\d:\d\d$/);
  assert.match(words("start", "start the pump", AT) ?? "", /^Next: start the pump by \d\d:\d\d$/);
  assert.match(words("resume", "go on", AT) ?? "", /^Next: go on by \d\d:\d\d$/);
  assert.equal(words("close", "close the session", null), "Next: close the session");
  const late = (what: string, after_ms: number): string => nextWords({ next: [{ what, text: "it", at: AT }] }, Date.parse(AT) + after_ms) ?? "";
  assert.match(late("check_in", 1), /^Next: it overdue since \d\d:\d\d$/);
  assert.match(late("check_in", 0), /^Next: it at \d\d:\d\d$/);
  assert.match(late("end", 1), /^Next: it at \d\d:\d\d$/, "it ends by itself");
  assert.equal(nextWords({ next: [] }), null);
});
