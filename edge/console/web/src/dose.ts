/** The arithmetic of an order, its limits, and what is wrong with it in words. Pure. */
import { type Argument, MAX_PATIENT_NAME, VERBS } from "./contract.ts";
import { parseNumber, readNumber } from "./typed.ts";

const LIMITS = VERBS.start_session.args;
const NUMBERS = ["weight_kg", "dose_mg_kg", "duration_min", "concentration_mg_ml", "nibp_interval_min", "age_years"] as const satisfies
  readonly (keyof typeof LIMITS)[];
const MAY_BE_UNKNOWN: ReadonlySet<string> = new Set(["age_years"]); // a nurse's order says all else

export type NumberKey = (typeof NUMBERS)[number];

/** An order as it is typed: text, so that what cannot be read is named and not lost. */
export type OrderDraft = Record<NumberKey, string> & { patient: string };

/** An order as it is read. */
export type Order = Record<NumberKey, number | null> & { patient: string };

export const EMPTY_ORDER: OrderDraft = {
  patient: "", weight_kg: "", dose_mg_kg: "", duration_min: "", concentration_mg_ml: "", nibp_interval_min: "", age_years: "",
};

export function readOrder(draft: OrderDraft): Order {
  const read = Object.fromEntries(NUMBERS.map((key) => [key, parseNumber(draft[key])])) as Record<NumberKey, number | null>;
  return { ...read, patient: draft.patient.trim() };
}

export interface Total { dose_mg: number; volume_ml: number; rate_ml_h: number }

/** mg, mL and mL/h of an order; null while a number is missing. */
export function total(order: Order): Total | null {
  const { weight_kg, dose_mg_kg, duration_min, concentration_mg_ml } = order;
  if (weight_kg === null || dose_mg_kg === null || !duration_min || !concentration_mg_ml) return null;
  const dose_mg = weight_kg * dose_mg_kg;
  const volume_ml = dose_mg / concentration_mg_ml;
  return { dose_mg, volume_ml, rate_ml_h: (volume_ml / duration_min) * 60 };
}

/** What keeps the order from being confirmed. */
export function problems(draft: OrderDraft): string[] {
  const found = NUMBERS.flatMap((key) => problem(key, draft[key]));
  const patient = draft.patient.trim();
  if (patient === "") return ["Patient is missing", ...found];
  return [...patient].length > MAX_PATIENT_NAME ? [`Patient must be at most ${MAX_PATIENT_NAME} characters`, ...found] : found;
}

function problem(key: NumberKey, text: string): string[] {
  const { label, unit, min, max } = LIMITS[key];
  const { value, wrong } = readNumber(text);
  if (wrong) return [`${label} "${text.trim().slice(0, 20)}" is not a number`];
  if (value === null) return MAY_BE_UNKNOWN.has(key) ? [] : [`${label} is missing`];
  return value < min || value > max ? [`${label} must be ${min} to ${max} ${unit}`] : [];
}

/** What is allowed but unusual, to be read before confirming. */
export function cautions(order: Order): string[] {
  return NUMBERS.flatMap((key) => {
    const value = order[key];
    const { label, unit, usual_min, usual_max }: Argument = LIMITS[key];
    if (value === null) return [];
    if (usual_min !== undefined && value < usual_min) return [`${label} below ${usual_min} ${unit}`];
    return usual_max !== undefined && value > usual_max ? [`${label} above ${usual_max} ${unit}`] : [];
  });
}

const HINTS: Partial<Record<NumberKey, string>> = { weight_kg: "measured today", age_years: "if known" };

/** The fields of the form, as the verb declares them. */
export const FIELDS = NUMBERS.map((key) => {
  const { label, unit = "", presets = [] }: Argument = LIMITS[key];
  return { key, label, unit, presets, hint: HINTS[key] };
});

/** A number as it is written on a syringe label: no trailing zeros, at most `decimals`. */
export function plain(value: number, decimals = 1): string {
  return String(Number(value.toFixed(decimals)));
}
