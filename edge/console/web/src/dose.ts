/** The arithmetic of an order, its limits, and what is wrong with it in words. Pure (reference/clinical.md 1.1). */

export interface OrderDraft {
  patient: string;
  weight_kg: number | null;
  dose_mg_kg: number | null;
  duration_min: number | null;
  concentration_mg_ml: number | null;
  age_years: number | null;
  nibp_interval_min: number | null;
}

export const EMPTY_ORDER: OrderDraft = {
  patient: "", weight_kg: null, dose_mg_kg: null, duration_min: null, concentration_mg_ml: null, age_years: null,
  nibp_interval_min: null,
};

export const LIMITS = {
  weight_kg: [35, 200], dose_mg_kg: [0.1, 1], duration_min: [30, 120], concentration_mg_ml: [0.2, 10], age_years: [18, 110],
} as const;

export interface Total { dose_mg: number; volume_ml: number; rate_ml_h: number }

/** mg, mL and mL/h of an order; null while a number is missing. */
export function total(order: OrderDraft): Total | null {
  const { weight_kg, dose_mg_kg, duration_min, concentration_mg_ml } = order;
  if (weight_kg === null || dose_mg_kg === null || !duration_min || !concentration_mg_ml) return null;
  const dose_mg = weight_kg * dose_mg_kg;
  const volume_ml = dose_mg / concentration_mg_ml;
  return { dose_mg, volume_ml, rate_ml_h: (volume_ml / duration_min) * 60 };
}

/** What keeps the order from being confirmed. */
export function problems(order: OrderDraft): string[] {
  const found: string[] = [];
  if (order.patient.trim() === "") found.push("Patient is missing");
  check(found, "Weight", "kg", order.weight_kg, LIMITS.weight_kg);
  check(found, "Dose", "mg/kg", order.dose_mg_kg, LIMITS.dose_mg_kg);
  check(found, "Duration", "min", order.duration_min, LIMITS.duration_min);
  check(found, "Concentration", "mg/mL", order.concentration_mg_ml, LIMITS.concentration_mg_ml);
  if (order.nibp_interval_min === null) found.push("Cuff interval is missing");
  if (order.age_years !== null) check(found, "Age", "years", order.age_years, LIMITS.age_years);
  return found;
}

function check(found: string[], name: string, unit: string, value: number | null, limits: readonly [number, number]): void {
  if (value === null) found.push(`${name} is missing`);
  else if (value < limits[0] || value > limits[1]) found.push(`${name} must be ${limits[0]} to ${limits[1]} ${unit}`);
}

/** What is allowed but unusual, to be read before confirming. */
export function cautions(order: OrderDraft): string[] {
  const found: string[] = [];
  if (order.dose_mg_kg !== null && order.dose_mg_kg > 0.75) found.push("Dose above 0.75 mg/kg");
  if (order.duration_min !== null && order.duration_min < 40) found.push("Shorter than 40 min");
  return found;
}

/** A number as it is written on a syringe label: no trailing zeros, at most `decimals`. */
export function plain(value: number, decimals = 1): string {
  return String(Number(value.toFixed(decimals)));
}
