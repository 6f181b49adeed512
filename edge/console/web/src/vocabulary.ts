/** Which tiles and trends there are follows from the vocabulary (contract.ts) and from what a bed measures. */
import { type Metric, METRIC_ROWS, type TrendScale } from "./contract.ts";

export type { Metric, TrendScale } from "./contract.ts";

export const METRICS: ReadonlyMap<string, Metric> = new Map(METRIC_ROWS.map((metric) => [metric.key, metric]));

/** The single numbers a bed shows, in the vocabulary's order: those that always have a place, and those it measures. */
export function vitalsOf(measured: Iterable<string>): Metric[] {
  const heard = new Set(measured);
  return METRIC_ROWS.filter(({ group, always, key }) => group === "vital" && (always || heard.has(key)));
}

/** The lines a bed's trend draws. */
export function trendsOf(measured: Iterable<string>): (Metric & { trend: TrendScale })[] {
  return vitalsOf(measured).filter((metric): metric is Metric & { trend: TrendScale } => metric.trend !== undefined);
}

export function labelOf(key: string): string {
  return METRICS.get(key)?.label ?? key.replaceAll("_", " ");
}
