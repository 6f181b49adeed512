/** The form of an order under its protocol, its arithmetic, its limits, and what is wrong with it in words. Pure. */
import { clockTime } from "./age.ts";
import { type Argument, MAX_PATIENT_NAME, type ProtocolNow, type SessionNow, VERBS } from "./contract.ts";
import { parseNumber, readNumber } from "./typed.ts";
import { counted } from "./words.ts";

const ARGUMENTS = VERBS.start_session.args;
const BY_PUMP = ["weight_kg", "dose_mg_kg", "duration_min", "concentration_mg_ml", "nibp_interval_min", "age_years"] as const;
const BY_HAND = ["dose_mg", "age_years"] as const; // its cuff is measured as the protocol says
const MAY_BE_UNKNOWN: ReadonlySet<string> = new Set(["age_years"]); // a nurse's order says all else
const HINTS: Partial<Record<NumberKey, string>> = { weight_kg: "measured today", age_years: "if known" };

export type NumberKey = (typeof BY_PUMP)[number] | (typeof BY_HAND)[number];

/** What a form needs of one number: the verb's own limits, and within them the protocol's. */
export interface OrderField {
  key: NumberKey; label: string; unit: string; presets: readonly number[]; hint: string | undefined; min: number; max: number;
  usual_min: number | undefined; usual_max: number | undefined; only: readonly number[];
}

/** An order as it is typed: text, so that what cannot be read is named and not lost. `yes`: the flags that are set. */
export type OrderDraft = Partial<Record<NumberKey, string>> & { patient: string; protocol?: string; yes?: readonly string[] };

/** An order as it is read. */
export type Order = Partial<Record<NumberKey, number | null>> & { patient: string };

export const EMPTY_ORDER: OrderDraft = { patient: "" };

/** What the order says yes to, or not at all. */
export const FLAGS: readonly (readonly [key: string, label: string])[] = Object.entries(ARGUMENTS as Record<string, Argument>)
  .flatMap(([key, { type, label }]) => (type === "flag" && key !== "checklist" ? [[key, label] as const] : []));

export function isByHand(protocol: ProtocolNow | null): boolean {
  return protocol !== null && protocol.doses_mg.length > 0;
}

/** The fields of the form. null: an edge that tells no protocol. */
export function fieldsOf(protocol: ProtocolNow | null): readonly OrderField[] {
  const keys: readonly NumberKey[] = isByHand(protocol) ? BY_HAND : BY_PUMP;
  return keys.map((key) => {
    const { label, unit = "", presets = [], min = 0, max = Infinity, usual_min, usual_max }: Argument = ARGUMENTS[key];
    const limits = protocol?.limits[key];
    const [low, high] = [Math.max(min, limits?.low ?? min), Math.min(max, limits?.high ?? max)];
    const only = key === "dose_mg" ? protocol?.doses_mg ?? [] : [];
    const offered = only.length > 0 ? only : presets.filter((preset) => preset >= low && preset <= high);
    return { key, label, unit, presets: offered, hint: HINTS[key], min: low, max: high, usual_min, usual_max, only };
  });
}

export function readOrder(draft: OrderDraft, fields = fieldsOf(null)): Order {
  return { ...Object.fromEntries(fields.map(({ key }) => [key, parseNumber(draft[key] ?? "")])), patient: draft.patient.trim() };
}

export interface Total { dose_mg: number; volume_ml: number; rate_ml_h: number }

/** mg, mL and mL/h of an order; null while a number is missing. */
export function total(order: Omit<Order, "patient">): Total | null {
  const { weight_kg, dose_mg_kg, duration_min, concentration_mg_ml } = order;
  if (weight_kg == null || dose_mg_kg == null || !duration_min || !concentration_mg_ml) return null;
  const dose_mg = weight_kg * dose_mg_kg;
  const volume_ml = dose_mg / concentration_mg_ml;
  return { dose_mg, volume_ml, rate_ml_h: (volume_ml / duration_min) * 60 };
}

/** What keeps the order from being confirmed. */
export function problems(draft: OrderDraft, fields = fieldsOf(null)): string[] {
  const found = fields.flatMap((field) => problem(field, draft[field.key] ?? ""));
  const patient = draft.patient.trim();
  if (patient === "") return ["Patient is missing", ...found];
  return [...patient].length > MAX_PATIENT_NAME ? [`Patient must be at most ${MAX_PATIENT_NAME} characters`, ...found] : found;
}

function problem({ key, label, unit, min, max, only }: OrderField, text: string): string[] {
  const { value, wrong } = readNumber(text);
  if (wrong) return [`${label} "${text.trim().slice(0, 20)}" is not a number`];
  if (value === null) return MAY_BE_UNKNOWN.has(key) ? [] : [`${label} is missing`];
  if (only.length > 0) return only.includes(value) ? [] : [`${label} must be ${only.join(" or ")} ${unit}`];
  return value < min || value > max ? [`${label} must be ${min} to ${max} ${unit}`] : [];
}

/** What is allowed but unusual, to be read before confirming. */
export function cautions(order: Order, fields = fieldsOf(null)): string[] {
  return fields.flatMap(({ key, label, unit, usual_min, usual_max }) => {
    const value = order[key];
    if (value == null) return [];
    if (usual_min !== undefined && value < usual_min) return [`${label} below ${usual_min} ${unit}`];
    return usual_max !== undefined && value > usual_max ? [`${label} above ${usual_max} ${unit}`] : [];
  });
}

/** How a dose by hand is taken: "3 devices of 28 mg". "": an edge that does not tell its protocol. */
export function inDevices(dose_mg: number, protocol: ProtocolNow | null): string {
  const device_mg = protocol?.device_mg ?? null;
  return device_mg === null ? "" : `${counted(dose_mg / device_mg, "device")} of ${plain(device_mg)} mg`;
}

/** "84 mg: 3 devices of 28 mg". */
export function devices(dose_mg: number, protocol: ProtocolNow | null): string {
  return [`${plain(dose_mg)} mg`, inDevices(dose_mg, protocol)].filter(Boolean).join(": ");
}

/** What of an order by hand is taken, device by device, and what is to come: "28 mg (13:05 1 device, lot A1). 2 devices to go". */
export function takenWords(session: Pick<SessionNow, "doses">, ordered_mg: number, protocol: ProtocolNow | null): string {
  const taken_mg = session.doses.reduce((sum, { mg }) => sum + mg, 0);
  const each = session.doses.map(({ at, devices: many, lots }) => `${clockTime(at)} ${counted(many, "device")}${lots.length > 0 ? `, lot ${lots.join(", ")}` : ""}`);
  const left = Math.max(0, ordered_mg - taken_mg) / (protocol?.device_mg ?? Infinity);
  return `${plain(taken_mg)} mg${each.length > 0 ? ` (${each.join("; ")})` : ""}${left > 0 ? `. ${counted(left, "device")} to go` : ""}`;
}

/** A number as it is written on a syringe label: no trailing zeros, at most `decimals`. */
export function plain(value: number, decimals = 1): string {
  return String(Number(value.toFixed(decimals)));
}
