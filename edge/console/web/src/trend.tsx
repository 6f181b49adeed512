/** The trend: SpO2 and pulse as lines with gaps, each blood pressure as a bar, the infusion marked. Paused looks paused. */
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { history } from "./api.ts";
import { shown } from "./numbers.tsx";
import { store } from "./state.ts";
import { addDetermination, append, fromHistory, METRICS, type Trended } from "./trenddata.ts";
import type { Session } from "./types.ts";

const RANGES_MIN = [30, 60, 120] as const;
const INK = { spo2: "#6cb8ff", pulse: "#7be0a0", bp: "#d9b8ff", grid: "#2a3240", text: "#b8c2d0" };
const EMPTY: Trended = { columns: [[], [], []], determinations: [] };
const AGAIN_MS = 60_000;

interface Marks { started: string | null; ended: string | null }

export function Trend({ bed, session }: { bed: string; session: Session | null }) {
  const holder = useRef<HTMLDivElement>(null);
  const [range_min, setRange] = useState<number>(60);
  const [paused, setPaused] = useState(false);
  const [missing, setMissing] = useState(false);
  const marks = useRef<Marks>({ started: null, ended: null });
  marks.current = { started: session?.infusion_started ?? null, ended: session?.infusion_ended ?? null };
  const pausedNow = useRef(paused);
  pausedNow.current = paused;

  useEffect(() => {
    const element = holder.current;
    if (element === null) return undefined;
    let trended: Trended = structuredClone(EMPTY);
    let gone = false;
    const plot = new uPlot(options(element, () => trended, () => marks.current, () => setPaused(true)), trended.columns, element);
    const load = async (): Promise<void> => {
      const answer = await history(bed, range_min, METRICS);
      if (gone) return;
      setMissing(answer === null);
      if (answer !== null) trended = fromHistory(answer, store.edgeClock.speed);
      step();
    };
    const step = (): void => {
      const edge_ms = store.edge_ms();
      if (edge_ms === null) return;
      grow(bed, trended, edge_ms / 1000, range_min * 60);
      if (pausedNow.current) return;
      plot.setData(trended.columns, false);
      plot.setScale("x", { min: edge_ms / 1000 - range_min * 60, max: edge_ms / 1000 });
    };
    void load();
    const every = setInterval(step, 1000);
    const again = setInterval(() => void load(), AGAIN_MS);
    const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: element.clientHeight }));
    watcher.observe(element);
    return () => {
      gone = true;
      clearInterval(every);
      clearInterval(again);
      watcher.disconnect();
      plot.destroy();
    };
  }, [bed, range_min]);

  const choose = (minutes: number): void => {
    setRange(minutes);
    setPaused(false);
  };
  return (
    <div class={paused ? "trend paused" : "trend"}>
      <div class="trend-head">
        <b style={{ color: INK.spo2 }}>SpO₂ %</b><b style={{ color: INK.pulse }}>Pulse /min</b><b style={{ color: INK.bp }}>┃ BP mmHg</b>
        {missing && <em>History cannot be read now</em>}
        <span class="ranges">
          {paused && <button class="go" onClick={() => setPaused(false)}>● LIVE</button>}
          {RANGES_MIN.map((minutes) => (
            <button key={minutes} aria-pressed={minutes === range_min} onClick={() => choose(minutes)}>{minutes} min</button>
          ))}
        </span>
      </div>
      {paused && <div class="paused-note">PAUSED - NOT LIVE</div>}
      <div class="plot" ref={holder} role="img" aria-label={`Trend of the last ${range_min} minutes`} />
    </div>
  );
}

/** Adds what the numbers say at this moment. */
function grow(bed: string, trended: Trended, now_s: number, keep_s: number): void {
  const context = store.context(bed);
  const vitals = store.vitals.get(bed);
  const values = METRICS.map((metric) => {
    const figure = shown(metric, vitals, context);
    return figure.standing === "live" ? figure.value : null;
  });
  append(trended, now_s, values, keep_s, store.edgeClock.speed);
  const sbp = vitals?.numerics["sbp_mmhg"]?.latest;
  const dbp = vitals?.numerics["dbp_mmhg"]?.latest;
  if (sbp?.value != null && dbp?.value != null) {
    const map_mmhg = vitals?.numerics["map_mmhg"]?.latest.value ?? null;
    addDetermination(trended, { at: sbp.at, sbp_mmhg: sbp.value, dbp_mmhg: dbp.value, map_mmhg });
  }
}

function options(element: HTMLElement, trended: () => Trended, marks: () => Marks, onZoom: () => void): uPlot.Options {
  const axis = { stroke: INK.text, grid: { stroke: INK.grid, width: 1 }, ticks: { stroke: INK.grid }, font: "13px system-ui" };
  return {
    width: element.clientWidth, height: element.clientHeight, legend: { show: false },
    cursor: { drag: { x: true, y: false }, points: { show: false } },
    scales: { x: { time: true }, pct: { range: [70, 100] }, rate: { range: [30, 210] } },
    axes: [
      { ...axis, size: 32, values: (_, ticks) => ticks.map(hourMinute) },
      { ...axis, scale: "pct", stroke: INK.spo2, size: 44 },
      { ...axis, scale: "rate", side: 1, stroke: INK.bp, size: 44, grid: { show: false } },
    ],
    series: [
      {},
      { scale: "pct", stroke: INK.spo2, width: 2, points: { show: false } },
      { scale: "rate", stroke: INK.pulse, width: 2, points: { show: false } },
    ],
    hooks: {
      draw: [(plot) => drawMarks(plot, marks()), (plot) => drawPressures(plot, trended())],
      setSelect: [(plot) => { if (plot.select.width > 4) onZoom(); }],
    },
  };
}

function hourMinute(at_s: number): string {
  const at = new Date(at_s * 1000);
  return `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`;
}

/** A bar from systolic to diastolic with a dot at the mean, at each determination. */
function drawPressures(plot: uPlot, { determinations }: Trended): void {
  const { ctx, bbox } = plot;
  const unit = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = INK.bp;
  ctx.lineWidth = 3 * unit;
  for (const one of determinations) {
    const x = plot.valToPos(Date.parse(one.at) / 1000, "x", true);
    if (one.sbp_mmhg === null || one.dbp_mmhg === null || x < bbox.left || x > bbox.left + bbox.width) continue;
    const top = plot.valToPos(one.sbp_mmhg, "rate", true);
    const bottom = plot.valToPos(one.dbp_mmhg, "rate", true);
    ctx.beginPath();
    for (const y of [top, bottom]) {
      ctx.moveTo(x - 5 * unit, y);
      ctx.lineTo(x + 5 * unit, y);
    }
    ctx.moveTo(x, top);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    if (one.map_mmhg !== null) ctx.fillRect(x - 4 * unit, plot.valToPos(one.map_mmhg, "rate", true) - 2 * unit, 8 * unit, 4 * unit);
  }
  ctx.restore();
}

function drawMarks(plot: uPlot, marks: Marks): void {
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
    ctx.fillText(words, x + 5 * devicePixelRatio, bbox.top + bbox.height - 8 * devicePixelRatio);
  }
  ctx.restore();
}
