/** What is typed is read strictly or refused by name, and an order's arithmetic. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cautions, EMPTY_ORDER, type OrderDraft, problems, readOrder, total } from "../src/dose.ts";
import { parseNumber, pressed, readScore } from "../src/typed.ts";

const DRAFT: OrderDraft = {
  patient: " Anna ", weight_kg: "70", dose_mg_kg: "0,5", duration_min: "40", concentration_mg_ml: "1", nibp_interval_min: "5", age_years: "",
};

const NUMBERS: [typed: string, read: number | null][] = [
  ["70", 70], ["70.5", 70.5], ["70,5", 70.5], ["70.", 70], [".5", 0.5], [" 70 ", 70], ["007", 7], ["", null], [" ", null],
  ["0x46", null], ["7e1", null], ["7E1", null], ["0b11", null], ["-70", null], ["+70", null], ["7 0", null], ["1.2.3", null],
  ["1,000.5", null], ["Infinity", null], ["abc", null], ["70kg", null], [".", null], ["٧", null], ["9".repeat(400), null],
];
for (const [typed, read] of NUMBERS) {
  test(`a number field reads ${JSON.stringify(typed.slice(0, 20))} as ${read}`, () => assert.equal(parseNumber(typed), read));
}

const SCORES: [typed: string, value: number | null, wrong: boolean][] = [
  ["", null, false], ["0", 0, false], ["4", 4, false], ["45", 45, false], ["92", 92, false], ["04", 4, false],
  ["93", null, true], ["4.5", null, true], ["2,5", null, true], ["-1", null, true], ["0x10", null, true], ["1e1", null, true],
  ["100", null, true], ["4o", null, true], ["abc", null, true], [" ", null, true], ["4 ", null, true], ["٤", null, true], ["45\n", null, true],
];
for (const [typed, value, wrong] of SCORES) {
  test(`a score of 0 to 92 reads ${JSON.stringify(typed)} as ${wrong ? "wrong" : value}`, () => assert.deepEqual(readScore(typed, 92), { value, wrong }));
}

const WHOLES: [typed: string, value: number | null, wrong: boolean][] = [
  ["", null, false], ["29", null, true], ["30", 30, false], ["97", 97, false], ["100", 100, false], ["101", null, true],
  ["0097", null, true], ["97.5", null, true], ["-97", null, true],
];
for (const [typed, value, wrong] of WHOLES) {
  test(`a whole number of 30 to 100 reads ${JSON.stringify(typed)} as ${wrong ? "wrong" : value}`, () => assert.deepEqual(readScore(typed, 100, 30), { value, wrong }));
}

test("the keypad writes one decimal sign and takes the last character back", () => {
  assert.deepEqual([pressed("7", "0"), pressed("7", "."), pressed("7.", "."), pressed("0,5", "."), pressed("70", "⌫"), pressed("", "⌫")], ["70", "7.", "7.", "0,5", "7", ""]);
});

const WRONG: [change: Partial<OrderDraft>, said: string[]][] = [
  [{}, []],
  [{ age_years: "abc" }, ['Age "abc" is not a number']],
  [{ age_years: "17" }, ["Age must be 18 to 110 years"]],
  [{ weight_kg: "0x46" }, ['Weight "0x46" is not a number']],
  [{ weight_kg: "7e1" }, ['Weight "7e1" is not a number']],
  [{ weight_kg: "" }, ["Weight is missing"]],
  [{ concentration_mg_ml: "50" }, ["Concentration must be 0.2 to 10 mg/mL"]],
  [{ nibp_interval_min: "" }, ["Cuff interval is missing"]],
  [{ nibp_interval_min: "0" }, ["Cuff interval must be 2 to 30 min"]],
  [{ nibp_interval_min: "1.9" }, ["Cuff interval must be 2 to 30 min"]],
  [{ nibp_interval_min: "2" }, []],
  [{ nibp_interval_min: "30" }, []],
  [{ nibp_interval_min: "99" }, ["Cuff interval must be 2 to 30 min"]],
  [{ patient: "  " }, ["Patient is missing"]],
  [{ patient: "x".repeat(81) }, ["Patient must be at most 80 characters"]],
];
for (const [change, said] of WRONG) {
  test(`an order with ${JSON.stringify(change).slice(0, 60)} is told ${JSON.stringify(said)}`, () => assert.deepEqual(problems({ ...DRAFT, ...change }), said));
}

test("70 kg at 0.5 mg/kg and 1 mg/mL in 40 min is 35 mg, 35 mL, 52.5 mL/h", () => {
  const order = readOrder(DRAFT);
  assert.equal(order.patient, "Anna");
  assert.equal(order.age_years, null);
  assert.deepEqual(total(order), { dose_mg: 35, volume_ml: 35, rate_ml_h: 52.5 });
  assert.deepEqual(total({ ...order, concentration_mg_ml: 0.7 })?.rate_ml_h, 75);
  assert.deepEqual(cautions({ ...order, dose_mg_kg: 1 }), ["Dose above 0.75 mg/kg"]);
  assert.deepEqual(cautions({ ...order, duration_min: 39 }), ["Duration below 40 min"]);
  assert.deepEqual(cautions({ ...order, dose_mg_kg: 0.75 }), []);
  assert.equal(problems(EMPTY_ORDER).length, 6);
});
