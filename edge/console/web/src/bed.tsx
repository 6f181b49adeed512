/** One bed, from arm's length: live numbers, pleth and trend, its alarms, and what the nurse enters. */
import { useEffect, useState } from "preact/hooks";
import { clockTime, gapWords, stopwatch } from "./age.ts";
import { idOf } from "./beds.ts";
import { AlarmList } from "./alarmlist.tsx";
import { CheckIn } from "./checkin.tsx";
import { plain } from "./dose.ts";
import { Later } from "./later.tsx";
import { GoneAlong, InMaintenance } from "./maintenance.tsx";
import { Figure, FurtherTiles, Pressure, ToAlarm } from "./numbers.tsx";
import { Band, phaseWords } from "./phase.tsx";
import { Pleth } from "./pleth.tsx";
import { PumpLine } from "./pump.tsx";
import { Link } from "./router.tsx";
import { SessionPanel } from "./sessionpanel.tsx";
import { live } from "./session.ts";
import { Sheet } from "./sheet.tsx";
import { StartSession } from "./startsession.tsx";
import { store } from "./state.ts";
import { unseen } from "./troubles.tsx";
import { Trend } from "./trend.tsx";
import type { BedState, Session } from "./feed.ts";
import { vitalsOf } from "./vocabulary.ts";
import { bpWords, byHand, enteredWords, interlockWords, nextWords, ownLimits, sentence } from "./words.ts";

type Open = "nothing" | "check-in" | "session" | "start" | "events";

export function Bed({ bed }: { bed: string }) {
  const [open, setOpen] = useState<Open>("nothing");
  useEffect(() => {
    live.watch(idOf(bed));
    return () => live.watch(null);
  }, [bed]);
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setOpen("nothing");
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  const state = store.states.get(bed);
  const session = state?.session?.phase === "CLOSED" ? null : state?.session ?? null;
  const close = (): void => setOpen("nothing");
  return (
    <div class={`bed-page${store.context(bed).live ? "" : " stale"}`} data-edge={idOf(bed).edge} data-bed={idOf(bed).bed}>
      <BedHead bed={bed} state={state} session={session} />
      <Numbers bed={bed} session={session} />
      <div class="curves">
        <Pleth bed={bed} />
        <Trend bed={bed} session={session} />
      </div>
      <aside>
        <AlarmList bed={bed} state={state} />
      </aside>
      <nav class="actions" aria-label="What to do">
        {session === null && <button class="go" onClick={() => setOpen("start")}>Start session</button>}
        {session !== null && <button class="go" onClick={() => setOpen("check-in")}>Check-in<Due bed={bed} session={session} /></button>}
        {session !== null && <button onClick={() => setOpen("session")}>Session<OpenItems session={session} /></button>}
        <button onClick={() => setOpen("events")}>Events</button>
      </nav>
      {open === "check-in" && session !== null && <CheckIn key={session.id} bed={bed} session={session} close={close} />}
      {open === "session" && session !== null && <SessionPanel key={session.id} bed={bed} session={session} close={close} />}
      {open === "start" && session === null && <StartSession bed={bed} close={close} />}
      {open === "events" && <Sheet title={`Events, ${store.label(bed)}`} close={close}><Later page="events" bed={bed} /></Sheet>}
    </div>
  );
}

function Due({ bed, session }: { bed: string; session: Session }) {
  const since_s = store.since_s(session.check_in_due, bed);
  const spo2_s = store.since_s(session.spo2_due ?? null, bed);
  return (
    <>
      {since_s !== null && <small>{dueWords(since_s)}</small>}
      {spo2_s !== null && <small class="of-spo2">SpO₂ {dueWords(spo2_s)}</small>}
    </>
  );
}

function dueWords(since_s: number): string {
  return since_s > 0 ? `overdue ${stopwatch(since_s)}` : `due in ${stopwatch(-since_s)}`;
}

function OpenItems({ session }: { session: Session }) {
  return session.open.length === 0 ? null : <small>{session.open.length} open</small>;
}

function BedHead({ bed, state, session }: { bed: string; state: BedState | undefined; session: Session | null }) {
  const context = store.context(bed);
  const troubles = unseen(bed, (state?.devices ?? []).filter(({ gone_to, off_until }) => gone_to === undefined && off_until === undefined));
  const order = session?.order ?? null;
  const stop = interlockWords(state?.interlock);
  const next = context.live ? nextWords(session, store.edge_ms(bed)) : null;
  return (
    <div class="bed-head">
      <Link to="/" class="back">← Ward</Link>
      <h1 tabIndex={-1}>{store.label(bed)}</h1>
      <span class="patient">{session === null ? "" : state?.patient ?? "name not recorded"}</span>
      <b class="phase">{state === undefined ? "no data yet" : phaseWords(state, context.live)}</b>
      <Band session={session} />
      {next !== null && <b class="next">{next}</b>}
      {order !== null && order.dose_mg !== null && (
        <span class="order">Order {plain(order.dose_mg)} mg {order.duration_min === null ? "by hand" : `in ${order.duration_min} min, ${order.weight_kg ?? "--"} kg`}</span>
      )}
      {session?.spo2_entered !== undefined && <span class="order spo2-entered">SpO₂ {enteredWords(session.spo2_entered)}</span>}
      {session?.bp_entered !== undefined && <span class="order">Blood pressure {bpWords(session.bp_entered)}</span>}
      {session?.stays?.map((stay) => <span key={stay.from} class="order">At {sentence(stay.bed.replaceAll("-", " "))} until {clockTime(stay.until)}</span>)}
      {state !== undefined && !state.live && <span class="last-known">Last known {clockTime(state.at)}</span>}
      {state?.gap && <span class="gap">⊘ {gapWords(state.gap)} ({state.gap.why === "restart" ? "restart" : `the box ${state.gap.why}`})</span>}
      {session?.held && <b class="link stop">HELD by {session.held.by} since {clockTime(session.held.at)}: {session.held.reason}</b>}
      {ownLimits(session?.limits) !== null && <span class="own-limits">{ownLimits(session?.limits)}</span>}
      {stop !== null && <b class={stop.urgent ? "link stop" : "request stop"} role={stop.urgent ? "alert" : undefined}>{stop.text}</b>}
      {troubles.length > 0 && <span class="link">⊘ {troubles.join("; ")}</span>}
      {(state?.devices ?? []).map((device) => <InMaintenance key={device.device} bed={bed} device={device} />)}
      {(state?.devices ?? []).map((device) => <GoneAlong key={device.device} bed={bed} device={device} />)}
      {state?.request && <span class="request">➤ {state.request.text}</span>}
    </div>
  );
}

const PRESSURES = { sbp_mmhg: "SYS", dbp_mmhg: "DIA" };

function Numbers({ bed, session }: { bed: string; session: Session | null }) {
  const vitals = store.vitals.get(bed);
  const context = store.context(bed);
  const metrics = vitalsOf(Object.keys(vitals?.numerics ?? {}));
  const limits = store.states.get(bed)?.alarm_limits;
  return (
    <div class="numbers">
      {metrics.filter(({ always }) => always).map((metric) => <Figure key={metric.key} metric={metric} vitals={vitals} context={context} limits={limits} />)}
      <Pressure vitals={vitals} context={context}>
        <FromBaseline bed={bed} session={session} />
        <ToAlarm of={PRESSURES} vitals={vitals} context={context} limits={limits} />
      </Pressure>
      <div class="pump-card"><span class="label">{byHand(session) ? "Dose" : "Pump"}</span><PumpLine vitals={vitals} context={context} session={session} devices={store.states.get(bed)?.devices ?? []} /></div>
      <FurtherTiles metrics={metrics.filter(({ always }) => !always)} vitals={vitals} context={context} />
    </div>
  );
}

/** The rise in a word, because a curve alone is overlooked. */
function FromBaseline({ bed, session }: { bed: string; session: Session | null }) {
  const baseline = session?.baseline ?? null;
  const sbp = store.vitals.get(bed)?.numerics["sbp_mmhg"]?.latest.value ?? null;
  if (baseline === null || baseline.sbp_mmhg === null) return session === null ? null : <span class="baseline">no baseline yet</span>;
  const rise = sbp === null ? null : Math.round(sbp - baseline.sbp_mmhg);
  return (
    <span class="baseline">
      {rise !== null && <b>SYS {rise >= 0 ? "+" : "−"}{Math.abs(rise)}</b>} from {Math.round(baseline.sbp_mmhg)}/{baseline.dbp_mmhg === null ? "--" : Math.round(baseline.dbp_mmhg)}
      {baseline.quality === "single" && " (single)"}
    </span>
  );
}
