/** The pleth: a sweep that writes left to right over its own past, and stops with words when nothing comes. */
import { useEffect, useRef } from "preact/hooks";
import { keyOf } from "./beds.ts";
import { store } from "./state.ts";
import type { Wave } from "./feed.ts";

const SPAN_S = 8; // one sweep across the canvas
const GAP_S = 0.4; // blank ahead of the pen
const BUFFER_S = 0.5; // what is held back so that uneven arrival does not jerk the trace
const SILENT_MS = 3000;

interface Pen { at_s: number; y: number | null; queue: (number | null)[]; rate: number; owed: number; heard_ms: number }

/** 0 (bottom) to 1 (top), or null where the sensor could not tell. */
function heights(wave: Wave): (number | null)[] {
  const span = wave.high - wave.low || 1;
  return wave.samples.map((sample) => (sample === null ? null : Math.min(1, Math.max(0, (sample - wave.low) / span))));
}

export function Pleth({ bed }: { bed: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const note = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    const element = canvas.current;
    const draw = element?.getContext("2d");
    if (!element || !draw) return undefined;
    const pen: Pen = { at_s: 0, y: null, queue: [], rate: 75, owed: 0, heard_ms: 0 };
    store.onWave = (wave) => {
      if (keyOf(wave) !== bed || wave.name !== "pleth" || !(wave.rate > 0)) return;
      pen.rate = wave.rate;
      pen.heard_ms = performance.now();
      pen.queue.push(...heights(wave));
      const most = Math.ceil(pen.rate * BUFFER_S * 4); // a hidden page draws nothing: the past is dropped, not replayed
      if (pen.queue.length > most) pen.queue.splice(0, pen.queue.length - most);
    };
    let frame = 0;
    let last_ms = performance.now();
    const step = (now_ms: number): void => {
      const width = Math.round(element.clientWidth * devicePixelRatio);
      const height = Math.round(element.clientHeight * devicePixelRatio);
      if (element.width !== width || element.height !== height) Object.assign(element, { width, height });
      advance(draw, pen, Math.min(0.25, (now_ms - last_ms) / 1000), width, height);
      last_ms = now_ms;
      const silent = now_ms - pen.heard_ms > SILENT_MS || store.broken() !== null;
      element.classList.toggle("stopped", silent);
      if (note.current) note.current.textContent = silent ? "No pleth" : "";
      frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(frame);
      store.onWave = null;
    };
  }, [bed]);
  return (
    <div class="pleth">
      <span class="label">Pleth</span><span class="note" ref={note} />
      <canvas ref={canvas} aria-label="Pleth waveform" />
    </div>
  );
}

/** Draws what is due in `dt_s`, a little faster or slower so that the buffer stays about half a second. */
function advance(draw: CanvasRenderingContext2D, pen: Pen, dt_s: number, width: number, height: number): void {
  const held_s = pen.queue.length / pen.rate;
  pen.owed += dt_s * pen.rate * (1 + Math.max(-0.3, Math.min(0.6, held_s - BUFFER_S)));
  const count = Math.min(Math.floor(pen.owed), pen.queue.length);
  pen.owed = Math.min(pen.owed - count, pen.rate * 0.1);
  const perSample = width / (SPAN_S * pen.rate);
  draw.lineWidth = 2 * devicePixelRatio;
  draw.lineJoin = "round";
  draw.strokeStyle = getComputedStyle(draw.canvas).color;
  for (const next of pen.queue.splice(0, count)) {
    const from = pen.at_s * pen.rate * perSample;
    const y = next === null ? null : height * (0.94 - 0.88 * next);
    draw.clearRect(from, 0, perSample + GAP_S * pen.rate * perSample, height);
    if (pen.y !== null && y !== null) {
      draw.beginPath();
      draw.moveTo(from, pen.y);
      draw.lineTo(from + perSample, y);
      draw.stroke();
    }
    pen.y = y;
    pen.at_s += 1 / pen.rate;
    if (pen.at_s >= SPAN_S) Object.assign(pen, { at_s: 0, y: null });
  }
}
