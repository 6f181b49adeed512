/** The trend's numbers: history from the server, with its gaps kept, and what came since. Pure. */
import type { Determination, History } from "./feed.ts";

/** Columns as uPlot wants them: seconds, then one column a metric. */
export type Columns = [number[], ...(number | null)[][]];

/** `columns` has one column for each of `metrics` after its seconds. */
export interface Trended { metrics: readonly string[]; columns: Columns; determinations: Determination[] }

export function emptyTrend(metrics: readonly string[]): Trended {
  return { metrics, columns: [[], ...metrics.map(() => [])], determinations: [] };
}

const GAP_S = 20;

/** Edge seconds beyond which two points are not one line: the page and the wire keep their real pace on a fast clock. */
export function gapAt(speed: number): number {
  return GAP_S * Math.max(1, speed);
}

/**
 * Points farther apart than the gap, and than four usual steps, are not joined. What was before `from_s` (edge seconds)
 * belongs to another patient and is left out.
 */
export function fromHistory(history: History, metrics: readonly string[], from_s: number, speed: number): Trended {
  const trended = emptyTrend(metrics);
  const at = history.at.map((iso) => Date.parse(iso) / 1000);
  const steps = at.slice(1).map((x, index) => x - (at[index] ?? x)).sort((a, b) => a - b);
  const gap_s = Math.max(gapAt(speed), 4 * (steps[Math.floor(steps.length / 2)] ?? 0));
  at.forEach((x, index) => {
    if (x < from_s) return;
    const before = trended.columns[0].at(-1);
    if (before !== undefined && x - before > gap_s) push(trended.columns, (x + before) / 2, metrics.map(() => null));
    push(trended.columns, x, metrics.map((key) => history.metrics[key]?.[index] ?? null));
  });
  trended.determinations = history.determinations.filter(
    (one) => one.sbp_mmhg !== null && one.dbp_mmhg !== null && Date.parse(one.at) / 1000 >= from_s);
  return trended;
}

/** Adds what is shown now; a value that is not live is a gap. Points older than `keep_s` go. */
export function append(trended: Trended, x: number, values: (number | null)[], keep_s: number, speed: number): void {
  const { columns } = trended;
  const last = columns[0].at(-1);
  if (last !== undefined && x <= last) return;
  if (last !== undefined && x - last > gapAt(speed)) push(columns, (x + last) / 2, trended.metrics.map(() => null));
  push(columns, x, values);
  while (columns[0].length > 0 && x - (columns[0][0] ?? x) > keep_s) for (const column of columns) column.shift();
}

/** Adds a determination once, by its time. */
export function addDetermination(trended: Trended, one: Determination): void {
  const at = Date.parse(one.at);
  if (!trended.determinations.some((known) => Math.abs(Date.parse(known.at) - at) < 1000)) trended.determinations.push(one);
}

function push(columns: Columns, x: number, values: (number | null)[]): void {
  const [times, ...metrics] = columns;
  times.push(x);
  metrics.forEach((column, index) => column.push(values[index] ?? null));
}
