/** A session in hand: its steps, what is still open, the pre-check list, and how it ends. */
import { useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { command } from "./api.ts";
import { ATTESTATIONS, type Verb, VERBS } from "./contract.ts";
import { inDevices, plain, takenWords } from "./dose.ts";
import { useDraft } from "./drafts.ts";
import { TextField } from "./keypad.tsx";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import { highOf, isSaid, Whose } from "./whose.tsx";
import { furtherVerbs, nameOf, VerbForm } from "./verbform.tsx";
import type { Phase, Session } from "./feed.ts";
import { byHand, nextWords, PHASE, phaseName, refusal, sentence } from "./words.ts";

const STEPS: readonly Phase[] = ["PRECHECK", "READY", "INFUSING", "RECOVERY", "DISCHARGE_READY"];
/** What is ticked before the start. `hand`: the patient takes the dose, and nothing about it goes by weight or by a pump. */
const CHECKLIST = (hand: boolean): readonly string[] => [
  "Identity checked with two identifiers", "Consent given",
  ...(hand ? ["Order read: drug, total mg, number of devices", "Devices counted, their lots and expiry dates read"] : ["Order read: drug, mg/kg, total mg, duration, concentration", "Weight measured today"]),
  "Allergies asked and recorded", "Fasting asked", "Contraindications and other medicines gone through",
  "Pregnancy asked where it applies", "Escort home confirmed", "Oxygen, suction, bag-mask and rescue medicines at hand",
];
/** What goes on while nothing is open. */
const NOTHING_OPEN_BY_HAND: Partial<Record<Phase, string>> = {
  INFUSING: "Nothing: the next device comes in its time.", READY: "Nothing. Give the first device, then enter “Dose given”.",
};
const NOTHING_OPEN: Partial<Record<Phase, string>> = {
  INFUSING: "Nothing: the infusion is running its course.",
  PAUSED: "Nothing. The pump stands: go on at the pump, or enter that the infusion has ended.",
  READY: "Nothing. The pump is set and started at the pump.",
};
const END_REASONS = ["Dose complete", "Patient's wish", "Blood pressure", "Distress", "Line or pump problem"] as const;
const CLOSE_REASONS = ["Discharged", "Not started", "Transferred"] as const;
const REASON_MOST = VERBS.close_session.args.reason.max_length;

/** An open item that a person attests has its entry beside it. */
interface Ask { verb: Verb; given?: Readonly<Record<string, string>> }

export function SessionPanel({ bed, session, close }: { bed: string; session: Session; close: () => void }) {
  const [asking, setAsking] = useState<Ask | null>(null);
  const infused = session.phase === "INFUSING" || session.phase === "PAUSED";
  const ask = (verb: Verb, given?: Ask["given"]): void => setAsking(given === undefined ? { verb } : { verb, given });
  const back = (): void => setAsking(null);
  if (asking?.verb === "end_infusion" || asking?.verb === "close_session") return <Reason bed={bed} verb={asking.verb} session={session} back={back} close={close} />;
  if (asking !== null) return <VerbForm bed={bed} {...asking} back={back} close={close} />;
  return (
    <Sheet title={`Session, ${store.label(bed)}`} close={close} foot={
      <>
        {infused && <button onClick={() => ask("end_infusion")}>End {dosing(session)}…</button>}
        <button onClick={() => ask("close_session")}>Close session…</button>
      </>
    }>
      <ol class="steps">
        {STEPS.map((step) => <li key={step} class={at(session.phase) === step ? "here" : ""} aria-current={at(session.phase) === step ? "step" : undefined}>{phaseName(step, session)}</li>)}
      </ol>
      <OrderLine bed={bed} session={session} />
      <h3>Still open before the next step</h3>
      {(session.open_items ?? []).length > 0 ? <OpenItems session={session} ask={ask} /> : session.open.length === 0 ? <p>{(byHand(session) ? NOTHING_OPEN_BY_HAND : NOTHING_OPEN)[session.phase] ?? ["Nothing", nextWords(session)].filter(Boolean).join(". ") + "."}</p> : <ul class="open-items">{session.open.map((item) => <li key={item}>☐ {sentence(item)}</li>)}</ul>}
      {session.ready_min !== null && <p>Had there been no minimum stay: ready {Math.round(session.ready_min)} min after the start.</p>}
      {(session.phase === "PRECHECK" || session.phase === "READY") && <Checklist bed={bed} session={session} />}
      <h3>What you can record or ask for</h3>
      <div class="verbs">{furtherVerbs(bed, session).map((verb) => <button key={verb} onClick={() => ask(verb)}>{nameOf(verb)}…</button>)}</div>
    </Sheet>
  );
}

/** Each open gate: what is missing, from when it can be met, where it is entered, and who may go on in spite of it. */
function OpenItems({ session, ask }: { session: Session; ask: (verb: Verb, given: Record<string, string>) => void }) {
  const role = store.me?.role;
  return (
    <ul class="open-items">
      {(session.open_items ?? []).map(({ gate, text, at: from, override: who, overridden_by, reason }) => (
        <li key={gate}>
          {overridden_by === null ? "☐" : "☑"} {sentence(text)}
          {from !== null && <small> from {clockTime(from)}</small>}
          {overridden_by !== null && <small> {overridden_by} goes on: {reason}</small>}
          {overridden_by === null && gate in ATTESTATIONS && VERBS.attest.roles.some((one) => one === role) && <button type="button" aria-label={`Record… ${text}`} onClick={() => ask("attest", { what: gate })}>Record…</button>}
          {gate === "held" && VERBS.unhold.roles.some((one) => one === role) && <button type="button" onClick={() => ask("unhold", {})}>{nameOf("unhold")}…</button>}
          {overridden_by === null && who.some((one) => one === role) && <button type="button" aria-label={`${nameOf("override_gate")}… ${text}`} onClick={() => ask("override_gate", { gate })}>{nameOf("override_gate")}…</button>}
        </li>
      ))}
    </ul>
  );
}

function at(phase: Phase): Phase {
  return phase === "PAUSED" ? "INFUSING" : phase;
}

function OrderLine({ bed, session }: { bed: string; session: Session }) {
  const order = session.order;
  if (order === null) return <p>No order recorded</p>;
  if (order.dose_mg !== null && byHand(session)) {
    const protocol = store.protocolOf(bed, order);
    return <p class="order-line">Order: <b>{plain(order.dose_mg)} mg</b>, given by hand, {inDevices(order.dose_mg, protocol)}. Taken so far: <b>{takenWords(session, order.dose_mg, protocol)}</b>.</p>;
  }
  return (
    <p class="order-line">
      Order: {order.weight_kg ?? "--"} kg × {order.dose_mg_kg ?? "--"} mg/kg = <b>{order.dose_mg === null ? "--" : plain(order.dose_mg)} mg</b> in {order.duration_min ?? "--"} min
      at {order.concentration_mg_ml ?? "--"} mg/mL. Cuff every {order.nibp_interval_min ?? "--"} min.
      {session.dose_mg !== null && <> Given so far: <b>{plain(session.dose_mg)} mg</b>{session.dose_mg_kg !== null && ` (${session.dose_mg_kg.toFixed(2)} mg/kg)`}.</>}
      {plain(session.primed_mg) !== "0" && <> Before the start, no dose: {plain(session.primed_mg)} mg.</>}
      {plain(session.after_end_mg) !== "0" && <> Of it after the end: {plain(session.after_end_mg)} mg.</>}
    </p>
  );
}

interface Ticks { done: string[] }

function Checklist({ bed, session }: { bed: string; session: Session }) {
  const [{ done }, change] = useDraft<Ticks>(`checklist ${session.id}`, { done: [] });
  const [problem, setProblem] = useState<string | null>(null);
  const [sent, setConfirmed] = useState(false);
  const confirmed = sent || session.checklist === true;
  const items = CHECKLIST(byHand(session));
  const left = items.filter((item) => !done.includes(item)).length;
  const confirm = async (): Promise<void> => {
    const answer = await command(bed, "checklist", { done: true });
    setProblem(answer.ok ? null : refusal(answer));
    setConfirmed(answer.ok);
  };
  const toggle = (item: string): void => change({ done: done.includes(item) ? done.filter((one) => one !== item) : [...done, item] });
  if (confirmed) return <div class="checklist"><h3>Pre-check list</h3><p>☑ Confirmed</p></div>;
  return (
    <div class="checklist">
      <h3>Pre-check list</h3>
      {items.map((item) => (
        <button key={item} type="button" aria-pressed={done.includes(item)} onClick={() => toggle(item)}>{done.includes(item) ? "☑" : "☐"} {item}</button>
      ))}
      {problem !== null && <em role="alert">{problem}</em>}
      <button class="go" disabled={left > 0} onClick={() => void confirm()}>
        {left > 0 ? `${left} still to tick` : "Confirm checklist"}
      </button>
    </div>
  );
}

/** What of the dose ends. */
function dosing(session: Session): string {
  return byHand(session) ? "dosing" : "infusion";
}

function Reason(props: { bed: string; verb: "end_infusion" | "close_session"; session: Session; back: () => void; close: () => void }) {
  const ending = props.verb === "end_infusion";
  const hand = byHand(props.session);
  const high = ending ? [] : highOf(props.bed);
  const [{ reason }, change, forget] = useDraft(props.session.id + props.verb, { reason: "" });
  const [whose, setWhose] = useState(""); // other alarms may stand by then
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const confirm = async (): Promise<void> => {
    setSending(true);
    const answer = await command(props.bed, props.verb, { reason: reason.trim(), ...(high.length > 0 && { whose: whose.trim() }) });
    setSending(false);
    if (!answer.ok) return setProblem(refusal(answer));
    forget();
    props.close();
  };
  const long = [...reason.trim()].length > REASON_MOST;
  const early = !ending && props.session.phase !== "DISCHARGE_READY";
  return (
    <Sheet title={`${ending ? `End ${dosing(props.session)}` : "Close session"}, ${store.label(props.bed)}`} close={props.close} foot={
      <>
        {problem !== null && <em role="alert">{problem}</em>}
        <button onClick={props.back}>Back</button>
        <button class="go" disabled={sending || long || reason.trim() === "" || !isSaid(high, whose)} onClick={() => void confirm()}>
          {reason.trim() === "" ? "Choose a reason" : !isSaid(high, whose) ? "Say whose the alarm is" : long ? `Reason: at most ${REASON_MOST} characters` : ending ? `Record: ${dosing(props.session)} ended` : "Close this session"}
        </button>
      </>
    }>
      {ending && <p class="help">{hand ? "This records that no further device is given." : "This records that the infusion is over. It does not stop the pump: stop it at the pump."}</p>}
      {early && <p class="caution">➤ Not all discharge criteria are met: {props.session.open.map(sentence).join("; ") || PHASE[props.session.phase]}.</p>}
      <div class="presets reasons">
        {(!ending ? CLOSE_REASONS : hand ? END_REASONS.slice(0, -1) : END_REASONS).map((one) => <button key={one} type="button" aria-pressed={reason === one} onClick={() => change({ reason: one })}>{one}</button>)}
      </div>
      <TextField label="Reason" name="reason" text={reason} change={(text) => change({ reason: text })} />
      <Whose high={high} whose={whose} change={setWhose} />
    </Sheet>
  );
}
