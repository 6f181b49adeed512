/** One number on a screen: its digits while they are live, grey with their age when not, the reason when there are none. */
import type { ComponentChildren } from "preact";
import { ageWords, type Context, show, type Shown, type ShownOther, showOther, stopwatch } from "./age.ts";
import type { BedVitals } from "./state.ts";
import { labelOf, type Metric, METRICS } from "./vocabulary.ts";
import type { BedState } from "./feed.ts";
import { marginWords, number, reasonWords } from "./words.ts";

export function shown(metric: string, vitals: BedVitals | undefined, context: Context): Shown {
  return show(metric, vitals?.numerics[metric], context);
}

/** What other devices say of these metrics, each with its own age. */
export function othersOf(metrics: readonly string[], vitals: BedVitals | undefined, context: Context): ShownOther[] {
  return (vitals?.others ?? []).filter(({ latest }) => metrics.includes(latest.metric)).map((other) => showOther(other, context));
}

/** Where a number has a second source: which device the large one is of, and what the other says. */
function Others({ metrics, vitals, context }: { metrics: readonly string[]; vitals: BedVitals | undefined; context: Context }) {
  const all = othersOf(metrics, vitals, context);
  if (all.length === 0) return null;
  return (
    <span class="others">
      {vitals?.numerics[metrics[0] ?? ""]?.latest.device}
      {[...new Set(all.map(({ device }) => device))].map((device) => {
        const said = all.filter((one) => one.device === device);
        return <span key={device} class={`other ${said[0]?.standing}`}>{device} <b>{said.map(({ value }) => number(value)).join("/")}</b> {below(said[0] as Shown)}</span>;
      })}
    </span>
  );
}

/** What stands below the digits: always the age, with the reason where there is one. */
function below(figure: Shown): ComponentChildren {
  switch (figure.standing) {
    case "live": return figure.why === null ? ageWords(figure.age_s) : `${ageWords(figure.age_s)}, ${reasonWords(figure.why)}`;
    case "old": return <><span class="old-word">old: </span>{ageWords(figure.age_s, false)}</>;
    case "absent": return reasonWords(figure.why);
    case "none": return "no data yet";
  }
}

export function Figure({ metric, vitals, context, limits }: { metric: Metric; vitals: BedVitals | undefined; context: Context; limits?: Limits }) {
  const figure = shown(metric.key, vitals, context);
  return (
    <div class={`figure ${figure.standing} of-${metric.key}`} data-metric={metric.key} data-standing={figure.standing}>
      <span class="label">{metric.label} <small>{metric.unit}</small></span>
      <span class="digits">{number(figure.value, metric.decimals)}</span>
      <span class="below">{below(figure)}<ToAlarm of={{ [metric.key]: "" }} vitals={vitals} context={context} decimals={metric.decimals} limits={limits} /></span>
      <Others metrics={[metric.key]} vitals={vitals} context={context} />
    </div>
  );
}

export type Limits = BedState["alarm_limits"];

/** How far live numbers are from the next alarm of theirs. `of`: what each metric is called there. */
export function ToAlarm({ of, vitals, context, decimals = 0, limits }: { of: Readonly<Record<string, string>>; vitals: BedVitals | undefined; context: Context; decimals?: number | undefined; limits: Limits }) {
  const figures = Object.keys(of).map((metric) => shown(metric, vitals, context));
  const numbers = Object.entries(of).map(([metric, name], at) => ({ metric, name, value: figures[at]?.value ?? null }));
  const words = figures.every(({ standing }) => standing === "live") ? marginWords(limits, numbers, decimals) : null;
  return words === null ? null : <span class="to-alarm"> · {words}</span>;
}

function diastolicOf(device: string, vitals: BedVitals | undefined): number | null {
  return vitals?.others.find(({ latest }) => latest.metric === "dbp_mmhg" && latest.device === device)?.latest.value ?? null;
}

interface FurtherOf { metrics: readonly Metric[]; vitals: BedVitals | undefined; context: Context }

/** What a bed measures beyond what every bed has a place for, on the ward: in lines, each number whole or not at all. */
export function Further({ metrics, vitals, context }: FurtherOf) {
  const others = [...othersOf([...METRICS.keys()], vitals, context)].filter(({ metric }) => metric !== "dbp_mmhg" && metric !== "map_mmhg");
  if (metrics.length + others.length === 0) return null;
  return (
    <div class="further">
      {metrics.map((metric) => {
        const figure = shown(metric.key, vitals, context);
        return (
          <span key={metric.key} class={`figure small ${figure.standing}`} data-metric={metric.key} data-standing={figure.standing}>
            <span class="label">{metric.short ?? metric.label}</span> <b class="digits">{number(figure.value, metric.decimals)}</b> <span class="label unit">{metric.unit}</span>
            {figure.standing !== "live" && <span class="below"> {below(figure)}</span>}
          </span>
        );
      })}
      {others.map((other) => (
        <span key={`${other.metric}@${other.device}`} class={`figure small ${other.standing}`}>
          <span class="label">{other.device} {other.metric === "sbp_mmhg" ? "BP" : labelOf(other.metric)}</span>{" "}
          <b class="digits">{number(other.value)}{other.metric === "sbp_mmhg" && `/${number(diastolicOf(other.device, vitals))}`}</b>
          <span class="below"> {below(other)}</span>
        </span>
      ))}
    </div>
  );
}

/** The same on the bed's page: a tile each, its words beside its digits. */
export function FurtherTiles({ metrics, vitals, context }: FurtherOf) {
  if (metrics.length === 0) return null;
  return <div class="further-tiles">{metrics.map((metric) => <Figure key={metric.key} metric={metric} vitals={vitals} context={context} />)}</div>;
}

/** A blood pressure never stands alone: its age is beside it, and when the next one is due: by the protocol, as the edge
 * says, or before the start by the cuff's own interval. */
export function Pressure({ vitals, context, children }: { vitals: BedVitals | undefined; context: Context; children?: ComponentChildren }) {
  const sbp = shown("sbp_mmhg", vitals, context);
  const dbp = shown("dbp_mmhg", vitals, context);
  const own_s = context.nibp_interval_min === null ? null : context.nibp_interval_min * 60 - sbp.age_s;
  const due_s = sbp.standing === "none" ? null : context.bp_due_s ?? own_s;
  return (
    <div class={`figure pressure ${sbp.standing} of-sbp_mmhg`} data-metric="sbp_mmhg" data-standing={sbp.standing}>
      <span class="label">BP <small>mmHg</small></span>
      <span class="digits">{number(sbp.value)}/{number(dbp.value)}</span>
      <span class="below">
        {sbp.standing === "none" ? "not measured yet" : sbp.standing === "absent" ? reasonWords(sbp.why) : (
          <b class="age">{sbp.standing === "old" && <span class="old-word">old: </span>}{ageWords(sbp.age_s, sbp.standing !== "old")}</b>
        )}
        {context.live && due_s !== null && <span class="due">{due_s >= 0 ? ` next ${stopwatch(due_s)}` : ` overdue ${stopwatch(-due_s)}`}</span>}
        {children}
      </span>
      <Others metrics={["sbp_mmhg", "dbp_mmhg"]} vitals={vitals} context={context} />
    </div>
  );
}
