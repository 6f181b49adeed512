/** How each metric is labelled and laid out. Which tiles and trends there are follows from this table and from what a bed measures. */

/** `axis`: metrics of one axis share a scale, `low` to `high`. */
export interface TrendScale { axis: string; low: number; high: number }

/** `group`: where its number stands. `always`: it has its place even before anything was measured. */
export interface Metric {
  key: string; label: string; unit: string; decimals: number;
  group: "vital" | "pressure" | "pump" | "none"; order: number; always: boolean; trend: TrendScale | null;
}

const PERCENT: TrendScale = { axis: "%", low: 70, high: 100 };
const RATE: TrendScale = { axis: "/min, mmHg", low: 30, high: 210 };

const ROWS: readonly (readonly [string, string, string, number, Metric["group"], boolean, TrendScale | null])[] = [
  ["spo2_pct", "SpO₂", "%", 0, "vital", true, PERCENT],
  ["pulse_bpm", "Pulse", "/min", 0, "vital", true, RATE],
  ["heart_rate_bpm", "Heart rate", "/min", 0, "vital", false, RATE],
  ["resp_bpm", "Respiration", "/min", 0, "vital", false, { axis: "/min", low: 0, high: 60 }],
  ["etco2_mmhg", "etCO₂", "mmHg", 0, "vital", false, { axis: "mmHg", low: 0, high: 60 }],
  ["temp_c", "Temperature", "°C", 1, "vital", false, { axis: "°C", low: 34, high: 41 }],
  ["perfusion_index_pct", "Perfusion index", "%", 1, "vital", false, { axis: "PI %", low: 0, high: 20 }],
  ["sbp_mmhg", "SBP", "mmHg", 0, "pressure", true, RATE],
  ["dbp_mmhg", "DBP", "mmHg", 0, "pressure", true, RATE],
  ["map_mmhg", "MAP", "mmHg", 0, "pressure", false, RATE],
  ["nibp_pulse_bpm", "Pulse (cuff)", "/min", 0, "none", false, null],
  ["rate_ml_h", "Rate", "mL/h", 1, "pump", false, null],
  ["volume_infused_ml", "Infused", "mL", 1, "pump", false, null],
];

export const METRICS: ReadonlyMap<string, Metric> = new Map(
  ROWS.map(([key, label, unit, decimals, group, always, trend], order) => [key, { key, label, unit, decimals, group, order, always, trend }]),
);

/** The single numbers a bed shows, in the table's order: those that always have a place, and those it measures. */
export function vitalsOf(measured: Iterable<string>): Metric[] {
  const heard = new Set(measured);
  return [...METRICS.values()].filter(({ group, always, key }) => group === "vital" && (always || heard.has(key)));
}

/** The lines a bed's trend draws. */
export function trendsOf(measured: Iterable<string>): (Metric & { trend: TrendScale })[] {
  return vitalsOf(measured).filter((metric): metric is Metric & { trend: TrendScale } => metric.trend !== null);
}

export function labelOf(key: string): string {
  return METRICS.get(key)?.label ?? key.replaceAll("_", " ");
}
