/** The arithmetic of an order, its limits, and what is wrong with it in words. Pure. */
import { parseNumber, readNumber } from "./typed.ts";

const NAME_MOST = 80;

interface Limit { name: string; unit: string; least: number; most: number; optional?: boolean }

export const LIMITS = {
  weight_kg: { name: "Weight", unit: "kg", least: 35, most: 200 },
  dose_mg_kg: { name: "Dose", unit: "mg/kg", least: 0.1, most: 1 },
  duration_min: { name: "Duration", unit: "min", least: 30, most: 120 },
  concentration_mg_ml: { name: "Concentration", unit: "mg/mL", least: 0.2, most: 10 },
  nibp_interval_min: { name: "Cuff interval", unit: "min", least: 2, most: 30 },
  age_years: { name: "Age", unit: "years", least: 18, most: 110, optional: true },
} as const satisfies Record<string, Limit>;

export type NumberKey = keyof typeof LIMITS;
const NUMBERS = Object.keys(LIMITS) as NumberKey[];

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
  const found = NUMBERS.flatMap((key) => problem(draft[key], LIMITS[key]));
  const patient = draft.patient.trim();
  if (patient === "") return ["Patient is missing", ...found];
  return [...patient].length > NAME_MOST ? [`Patient must be at most ${NAME_MOST} characters`, ...found] : found;
}

function problem(text: string, { name, unit, least, most, optional }: Limit): string[] {
  const { value, wrong } = readNumber(text);
  if (wrong) return [`${name} "${text.trim().slice(0, 20)}" is not a number`];
  if (value === null) return optional === true ? [] : [`${name} is missing`];
  return value < least || value > most ? [`${name} must be ${least} to ${most} ${unit}`] : [];
}

/** What is allowed but unusual, to be read before confirming. */
export function cautions(order: Order): string[] {
  const found: string[] = [];
  if (order.dose_mg_kg !== null && order.dose_mg_kg > 0.75) found.push("Dose above 0.75 mg/kg");
  if (order.duration_min !== null && order.duration_min < 40) found.push("Shorter than 40 min");
  return found;
}

/** A number as it is written on a syringe label: no trailing zeros, at most `decimals`. */
export function plain(value: number, decimals = 1): string {
  return String(Number(value.toFixed(decimals)));
}
