/** A session's trend: what the bed measures as lines with gaps, each blood pressure as a bar, the infusion marked. Paused looks paused. */
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { history } from "./api.ts";
import { othersOf, shown } from "./numbers.tsx";
import { store } from "./state.ts";
import { addDetermination, append, emptyTrend, fromHistory, type Trended } from "./trenddata.ts";
import type { Session } from "./feed.ts";
import { METRIC_ROWS } from "./contract.ts";
import { METRICS, trendsOf, type TrendScale } from "./vocabulary.ts";

const RANGES_MIN = [30, 60, 120] as const;
const INK = { bp: "#d9b8ff", grid: "#2a3240", text: "#b8c2d0" };
const LINES = ["#6cb8ff", "#7be0a0", "#ffb87a", "#9be7ff", "#f2a7c3", "#d7e27a", "#c9c9d6"] as const; // by place in the vocabulary; never red or yellow
const AGAIN_MS = 60_000;
const PRESSURE = "sbp_mmhg"; // each determination is a bar on this metric's axis

type Line = ReturnType<typeof trendsOf>[number] & { dash?: number[] };

/** Lines that share one plot: two axes at most, the first on its left. */
interface Panel { axes: readonly TrendScale[]; lines: readonly Line[] }

interface Drawn { started: string | null; ended: string | null }

function panelsOf(lines: readonly Line[]): Panel[] {
  const axes = [...new Map(lines.map(({ trend }) => [trend.axis, trend])).values()];
  const panels: Panel[] = [];
  for (let index = 0; index < axes.length; index += 2) {
    const pair = axes.slice(index, index + 2);
    panels.push({ axes: pair, lines: lines.filter(({ trend }) => pair.some(({ axis }) => axis === trend.axis)) });
  }
  return panels;
}

function ink(line: Line): string {
  return LINES[METRIC_ROWS.findIndex(({ key }) => line.key.startsWith(key)) % LINES.length] ?? INK.text;
}

export function Trend({ bed, session }: { bed: string; session: Session | null }) {
  const [range_min, setRange] = useState<number>(60);
  const [paused, setPaused] = useState(false);
  const [missing, setMissing] = useState(false);
  const measured = Object.keys(store.vitals.get(bed)?.numerics ?? {});
  const lines: Line[] = trendsOf(measured);
  for (const { latest: { metric, device } } of store.vitals.get(bed)?.others ?? []) {
    const line = lines.find(({ key }) => key === metric);
    if (line !== undefined) lines.push({ ...line, key: `${metric}@${device}`, label: `${line.label} ${device}`, dash: [6, 4] });
  }
  const names = lines.map(({ key }) => key).join();
  const choose = (minutes: number): void => {
    setRange(minutes);
    setPaused(false);
  };
  return (
    <div class={paused ? "trend paused" : "trend"}>
      <div class="trend-head">
        {lines.map((line) => <b key={line.key} style={{ color: ink(line) }}>{line.dash && "┄ "}{line.label} {line.unit}</b>)}
        <b style={{ color: INK.bp }}>┃ BP mmHg</b>
        {session === null && <em>No session: drawn since this page was opened</em>}
        {missing && <em>History cannot be read now</em>}
        {paused && <em class="paused-note">PAUSED - NOT LIVE</em>}
        <span class="ranges">
          {paused && <button class="go" onClick={() => setPaused(false)}>● LIVE</button>}
          {RANGES_MIN.map((minutes) => (
            <button key={minutes} aria-pressed={minutes === range_min} onClick={() => choose(minutes)}>{minutes} min</button>
          ))}
        </span>
      </div>
      <Plots key={`${session?.id ?? ""} ${names} ${range_min}`} bed={bed} session={session} lines={lines} range_min={range_min}
        paused={paused} pause={() => setPaused(true)} setMissing={setMissing} />
    </div>
  );
}

function Plots(props: {
  bed: string; session: Session | null; lines: readonly Line[]; range_min: number; paused: boolean; pause: () => void; setMissing: (missing: boolean) => void;
}) {
  const { bed, lines, range_min } = props;
  const holder = useRef<HTMLDivElement>(null);
  const now = useRef(props);
  now.current = props;
  const panels = panelsOf(lines);
  useEffect(() => {
    const boxes = [...(holder.current?.children ?? [])] as HTMLElement[];
    const metrics = lines.map(({ key }) => key);
    // the trend is this session's; without one it begins when this page opened it
    const opened_s = (store.edge_ms(bed) ?? 0) / 1000;
    const from_s = (): number => {
      const started = now.current.session?.started;
      return started ? Date.parse(started) / 1000 : opened_s;
    };
    let trended = emptyTrend(metrics);
    let gone = false;
    const marks = (): Drawn => ({ started: now.current.session?.infusion_started ?? null, ended: now.current.session?.infusion_ended ?? null });
    const plots = panels.map((panel, index) => {
      const box = boxes[index] as HTMLElement;
      return { panel, box, plot: new uPlot(options(box, panel, () => trended, marks, () => now.current.pause()), dataOf(panel, trended), box) };
    });
    const load = async (): Promise<void> => {
      const answer = now.current.session === null ? undefined : await history(bed, range_min, metrics);
      if (gone) return;
      now.current.setMissing(answer === null);
      if (answer) trended = fromHistory(answer, metrics, from_s(), store.edgeClock.speed);
      step();
    };
    const step = (): void => {
      const edge_ms = store.edge_ms(bed);
      if (edge_ms === null) return;
      grow(bed, trended, edge_ms / 1000, from_s(), range_min * 60);
      if (now.current.paused) return;
      for (const { plot, panel } of plots) {
        plot.setData(dataOf(panel, trended), false);
        plot.setScale("x", { min: edge_ms / 1000 - range_min * 60, max: edge_ms / 1000 });
      }
    };
    void load();
    const every = setInterval(step, 1000);
    const again = setInterval(() => void load(), AGAIN_MS);
    const watcher = new ResizeObserver(() => {
      for (const { plot, box } of plots) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    });
    for (const { box } of plots) watcher.observe(box);
    return () => {
      gone = true;
      clearInterval(every);
      clearInterval(again);
      watcher.disconnect();
      for (const { plot } of plots) plot.destroy();
    };
  }, []);
  return (
    <div class="plots" ref={holder}>
      {panels.map(({ axes, lines: drawn }) => (
        <div key={axes.map(({ axis }) => axis).join()} class="plot" role="img"
          aria-label={`Trend of the last ${range_min} minutes: ${drawn.map(({ label }) => label).join(", ")}`} />
      ))}
    </div>
  );
}

function dataOf({ lines }: Panel, { metrics, columns }: Trended): uPlot.AlignedData {
  return [columns[0], ...lines.map(({ key }) => columns[metrics.indexOf(key) + 1] ?? [])];
}

/** Adds what the numbers say at this moment. */
function grow(bed: string, trended: Trended, now_s: number, from_s: number, keep_s: number): void {
  const context = store.context(bed);
  const vitals = store.vitals.get(bed);
  const values = trended.metrics.map((metric) => {
    const [key, device] = metric.split("@");
    const figure = device === undefined ? shown(metric, vitals, context) : othersOf([key ?? ""], vitals, context).find((one) => one.device === device);
    if (figure === undefined) return null;
    return figure.standing === "live" ? figure.value : null;
  });
  append(trended, now_s, values, keep_s, store.edgeClock.speed);
  const sbp = vitals?.numerics["sbp_mmhg"]?.latest;
  const dbp = vitals?.numerics["dbp_mmhg"]?.latest;
  if (sbp?.value != null && dbp?.value != null && Date.parse(sbp.at) / 1000 >= from_s) {
    const map_mmhg = vitals?.numerics["map_mmhg"]?.latest.value ?? null;
    addDetermination(trended, { at: sbp.at, sbp_mmhg: sbp.value, dbp_mmhg: dbp.value, map_mmhg });
  }
}

function options(element: HTMLElement, panel: Panel, trended: () => Trended, marks: () => Drawn, onZoom: () => void): uPlot.Options {
  const axis = { stroke: INK.text, grid: { stroke: INK.grid, width: 1 }, ticks: { stroke: INK.grid }, font: "13px system-ui" };
  const pressures = METRICS.get(PRESSURE)?.trend?.axis;
  const bars = panel.axes.some((one) => one.axis === pressures);
  return {
    width: element.clientWidth, height: element.clientHeight, legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false }, points: { show: false } },
    scales: { x: { time: true }, ...Object.fromEntries(panel.axes.map(({ axis: name, low, high }) => [name, { range: [low, high] as [number, number] }])) },
    axes: [
      { ...axis, size: 32, show: bars, values: (_, ticks) => ticks.map(hourMinute) },
      ...panel.axes.map(({ axis: name }, index): uPlot.Axis => ({
        ...axis, scale: name, size: 44, space: 22, side: index === 0 ? 3 : 1, stroke: axisInk(panel, name), ...(index === 0 ? {} : { grid: { show: false } }),
      })),
      ...(panel.axes.length > 1 ? [] : [{ ...axis, scale: panel.axes[0]?.axis ?? "", size: 44, side: 1 as const, values: () => [], grid: { show: false } }]),
    ],
    series: [{}, ...panel.lines.map((line) => ({ scale: line.trend.axis, stroke: ink(line), width: 2, dash: line.dash ?? [], points: { show: false } }))],
    hooks: {
      draw: [(plot) => drawMarks(plot, marks(), bars), (plot) => { if (bars && pressures !== undefined) drawPressures(plot, trended(), pressures); }],
      setSelect: [(plot) => { if (plot.select.width > 4) onZoom(); }],
    },
  };
}

/** An axis has its line's colour while it serves one line alone. */
function axisInk({ lines }: Panel, axis: string): string {
  const served = lines.filter(({ trend }) => trend.axis === axis);
  return served.length === 1 && served[0] !== undefined && axis !== METRICS.get(PRESSURE)?.trend?.axis ? ink(served[0]) : INK.text;
}

function hourMinute(at_s: number): string {
  const at = new Date(at_s * 1000);
  return `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`;
}

/** A bar from systolic to diastolic with a dot at the mean, at each determination. */
function drawPressures(plot: uPlot, { determinations }: Trended, axis: string): void {
  const { ctx, bbox } = plot;
  const unit = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = INK.bp;
  ctx.lineWidth = 3 * unit;
  for (const one of determinations) {
    const x = plot.valToPos(Date.parse(one.at) / 1000, "x", true);
    if (one.sbp_mmhg === null || one.dbp_mmhg === null || x < bbox.left || x > bbox.left + bbox.width) continue;
    const top = plot.valToPos(one.sbp_mmhg, axis, true);
    const bottom = plot.valToPos(one.dbp_mmhg, axis, true);
    ctx.beginPath();
    for (const y of [top, bottom]) {
      ctx.moveTo(x - 5 * unit, y);
      ctx.lineTo(x + 5 * unit, y);
    }
    ctx.moveTo(x, top);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    if (one.map_mmhg !== null) ctx.fillRect(x - 4 * unit, plot.valToPos(one.map_mmhg, axis, true) - 2 * unit, 8 * unit, 4 * unit);
  }
  ctx.restore();
}

function drawMarks(plot: uPlot, marks: Drawn, named: boolean): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = "#ffffff";
  ctx.font = `${13 * devicePixelRatio}px system-ui`;
  ctx.setLineDash([6, 5]);
  for (const [iso, words] of [[marks.started, "Infusion start"], [marks.ended, "Infusion end"]] as const) {
    const x = iso === null ? Number.NaN : plot.valToPos(Date.parse(iso) / 1000, "x", true);
    if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const space = 5 * devicePixelRatio;
    const fits = x + space + ctx.measureText(words).width <= bbox.left + bbox.width;
    ctx.textAlign = fits ? "left" : "right"; // where the axis begins the words stand on the line's other side
    if (named) ctx.fillText(words, fits ? x + space : x - space, bbox.top + bbox.height - 8 * devicePixelRatio);
  }
  ctx.restore();
}
