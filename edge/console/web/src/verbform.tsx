/** A form for any command that has none of its own: its fields are what the contract says of its arguments. */
import { useState } from "preact/hooks";
import { command } from "./api.ts";
import { idOf, keyOf } from "./beds.ts";
import { type Argument, ATTESTATIONS, type State, type Verb, VERBS } from "./contract.ts";
import { devices, plain, takenWords, total } from "./dose.ts";
import { useDraft } from "./drafts.ts";
import type { Device, Session } from "./feed.ts";
import { NumberFields, TextField } from "./keypad.tsx";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import { readNumber } from "./typed.ts";
import { byHand, refusal, sentence } from "./words.ts";

const WITH_A_PLACE: ReadonlySet<string> = new Set(
  ["acknowledge", "override_gate", "audio_pause", "audio_resume", "start_session", "checklist", "check_in", "end_infusion", "close_session", "shelve", "unshelve", "comment", "undelegate", "maintain", "maintenance_over"] satisfies Verb[]);

/** What a verb is called, where its name does not say it. */
const NAMES: Partial<Record<string, string>> = {
  override_gate: "Go on without it", give_dose: "Dose given", attest: "Confirm for discharge", rebaseline: "New baseline", device_off: "Disconnect a device", device_back: "Device is back",
  dissociation: "Dissociation has begun, or is over", measure_bp: "Measure the blood pressure now", drug_channel: "Which pump gives the drug", arm_interlock: "Arm the stop of the pump", set_limit: "A limit of this patient", hold: "Hold the treatment", move_session: "To another bed", unhold: "Let the treatment go on", disarm_interlock: "Disarm the stop of the pump", delegate: "Alarms to somebody else",
};

/** What is done when it is asked for; the others record what a person did or saw. */
const ASKS: ReadonlySet<string> = new Set(["measure_bp", "hold", "unhold", "arm_interlock", "disarm_interlock"] satisfies Verb[]);

/** Which of the bed's devices a verb can be about; a verb that is not here is about none. */
const OF_DEVICES: Partial<Record<string, (device: Device, all: readonly Device[]) => boolean>> = {
  device_off: (device) => device.off_until === undefined,
  device_back: (device) => device.off_until !== undefined || device.ask === true,
  arm_interlock: (device) => device.stops === true,
  move_session: (device) => device.gone_to === undefined,
  disarm_interlock: (device) => device.stops === true,
  drug_channel: (device, all) => device.kind === "pump" && device.role !== "drug" && all.filter(({ kind }) => kind === "pump").length > 1,
};

/** The beds of the same edge at which nobody is treated: a patient may go there. */
function freeBeds(bed: string): string[] {
  return [...store.states].flatMap(([key, { session }]) => (key !== bed && idOf(key).edge === idOf(bed).edge && !session ? [idOf(key).bed] : []));
}

function devicesOf(bed: string, verb: string): Device[] {
  const all = store.states.get(bed)?.devices ?? [];
  return all.filter((device) => OF_DEVICES[verb]?.(device, all) ?? false);
}

/** What a person must know before they ask for it. */
const HELP: Partial<Record<string, string>> = {
  arm_interlock: "Certain alarms then stop the drug’s pump, once, until somebody disarms it or the session ends. Nothing is ever started from here: go on at the pump. It takes two people: a second one must arm it under their own name.",
  move_session: "The session goes on at the other bed with its order, dose, baseline and alarms. Choose what is plugged over there with the patient; what you do not choose stays, and counts for this patient no more. A pump that infuses is stopped first, or plugged over.",
  device_off: "Until then nothing is missed of it; then it is again, by itself.",
  rebaseline: "The last blood pressures become the baseline of alarms and discharge.",
  hold: "The treatment does not begin, or does not go on, until somebody lets it. This does not stop the pump: stop it at the pump. Alarms stay in force.",
  unhold: "This does not start the pump: go on at the pump. What is asked before stands under “Still open before the next step”.",
  disarm_interlock: "No alarm stops the pump any more. It does not start the pump. Where a stop was not confirmed, say what the pump does now.",
};

const BEGUN: Record<string, string> = { yes: "It has begun", no: "It is over" };
const MAY_BE_LEFT_OUT = "may be left out";

/** A verb that has a meaning in some states of a bed alone. */
const WHEN: Partial<Record<string, (state: State) => boolean>> = {
  arm_interlock: ({ interlock }) => interlock?.state !== "armed",
  disarm_interlock: ({ interlock }) => interlock !== undefined,
};

/** A verb that has a meaning in some sessions alone. */
const ONLY: Partial<Record<string, (session: Session) => boolean>> = {
  give_dose: byHand,
  drug_channel: (session) => !byHand(session),
  arm_interlock: (session) => !byHand(session),
  dissociation: ({ infusion_started }) => infusion_started !== null,
  set_limit: ({ limits }) => (limits ?? []).length > 0,
  hold: ({ held, phase }) => !held && phase !== "RECOVERY" && phase !== "DISCHARGE_READY",
  unhold: ({ held }) => Boolean(held),
};

/** Whether an order of this kind has that number. */
function isOf(session: Session | null | undefined, key: string): boolean {
  return byHand(session) ? (VERBS.start_session.args as Record<string, Argument>)[key]?.unless === undefined : key !== "dose_mg";
}

/** The verbs that whoever is signed in may ask for in this session, besides those that have a place of their own. */
export function furtherVerbs(bed: string, session: Session): Verb[] {
  const role = store.me?.role;
  const state = store.states.get(bed);
  return (Object.keys(VERBS) as Verb[]).filter((verb) => !WITH_A_PLACE.has(verb)
    && (VERBS[verb].roles as readonly string[]).some((one) => one === role) && (ONLY[verb]?.(session) ?? true)
    && (state === undefined || (WHEN[verb]?.(state) ?? true))
    && (verb !== "move_session" || freeBeds(bed).length > 0)
    && (!(verb in OF_DEVICES) || devicesOf(bed, verb).length > 0));
}

/** What a person must know of this session before they ask for it: of a dose by hand, nothing about a pump. */
function helpOf(verb: string, session: Session | null | undefined): string | undefined {
  return byHand(session) ? HELP[verb]?.replace(/[^.]*\bpump\b[^.]*\./g, "") : HELP[verb];
}

/** A dose by hand in its devices, and what of it is taken. */
function byHandWords(bed: string, session: Session, dose_mg: number): string {
  const protocol = store.protocolOf(bed, session.order);
  return `${devices(dose_mg, protocol)}. Taken so far: ${takenWords(session, dose_mg, protocol)}`;
}

/** An order as it will be, read back: the dose, at which rate and for how long, and what of it is still to come. */
function amended(bed: string, session: Session, typed: Readonly<Record<string, unknown>>): string {
  const order = { ...session.order, ...typed };
  const sum = total(order);
  if (sum === null) return `New order: ${byHandWords(bed, session, order.dose_mg ?? 0)}`;
  const given = session.dose_mg ?? 0;
  const left = Math.max(0, 1 - given / sum.dose_mg) * (order.duration_min ?? 0);
  return `New order: ${plain(sum.dose_mg)} mg in ${plain(sum.volume_ml)} mL, ${plain(sum.rate_ml_h)} mL/h for ${order.duration_min} min${given > 0 ? `. ${plain(given)} mg are in: ${plain(left, 0)} min to go` : ""}`;
}

export function nameOf(verb: string): string {
  return NAMES[verb] ?? sentence(verb);
}

type Texts = Readonly<Record<string, string>>;

/** What a form is about, where one of its arguments says it: the gate or the attestation that it was opened for. */
function subject(verb: Verb, given: Texts): string | null {
  const words = verb === "attest" ? ATTESTATIONS[given["what"] ?? ""] : undefined;
  return words === undefined ? null : sentence(words);
}

/** Of choices of which several may be made: those that are. */
function chosen(text: string | undefined): string[] {
  return (text ?? "").split(",").filter(Boolean);
}

function toggled(text: string | undefined, one: string): string {
  const before = chosen(text);
  return (before.includes(one) ? before.filter((other) => other !== one) : [...before, one]).join(",");
}

/** What was typed as the command's argument; a string: what is wrong with it. */
function valueOf(argument: Argument, text: string): { value: unknown } | string {
  const { label, type, optional, min, max, max_length, unit = "" } = argument;
  if (text.trim() === "") return optional ? { value: undefined } : type === "flag" ? `${label}: yes or no?` : `${label}: not entered`;
  if (type === "flag") return { value: text === "yes" };
  if (type === "words") return { value: text.split(",").map((word) => word.trim()).filter(Boolean) };
  if (type === undefined) return max_length !== undefined && [...text.trim()].length > max_length ? `${label}: at most ${max_length} characters` : { value: text.trim() };
  const { value, wrong } = readNumber(text);
  if (wrong || value === null || (type === "whole" && !Number.isInteger(value))) return `${label} must be a ${type === "whole" ? "whole " : ""}number`;
  return (min !== undefined && value < min) || (max !== undefined && value > max) ? `${label} must be ${min ?? ""} to ${max ?? ""} ${unit}`.trim() : { value };
}

/** `given`: arguments that are known already, and not asked for. An attestation is one of several, and leads back to them. */
export function VerbForm({ bed, verb, given = {}, back, close }: { bed: string; verb: Verb; given?: Texts; back: () => void; close: () => void }) {
  const here = devicesOf(bed, verb).map(({ device }) => device);
  const session = store.states.get(bed)?.session;
  const limits = session?.limits ?? [];
  const choicesOf = (key: string): readonly string[] | undefined => (key === "device" && verb in OF_DEVICES ? here : verb === "move_session" && key === "devices" ? here : key === "to" && verb === "move_session" ? freeBeds(bed) : key === "limit" ? limits.map(({ limit }) => limit) : undefined);
  const takes = Object.entries(VERBS[verb].args as Record<string, Argument>).filter(([key]) => !(key in given) && (verb !== "amend_order" || isOf(session, key)))
    .map(([key, argument]) => [key, { ...argument, choices: choicesOf(key) ?? argument.choices ?? [], presets: key === "dose_mg" ? store.protocolOf(bed, session?.order)?.doses_mg ?? [] : argument.presets ?? [] }] as const);
  const [kept, enter, forget] = useDraft<Texts>([session?.id, verb, ...Object.values(given)].join(), {}); // what is typed; what is tapped is asked anew
  const [taps, setTaps] = useState<Texts>({});
  const texts = { ...kept, ...taps };
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const change = (key: string, text: string): void => setTaps((before) => ({ ...before, [key]: text }));
  const read = takes.map(([key, argument]) => [key, valueOf(argument, texts[key] ?? "")] as const);
  const wrong = read.flatMap(([, value]) => (typeof value === "string" ? [value] : []));
  const typed = Object.fromEntries(read.flatMap(([key, value]) => (typeof value === "string" || value.value === undefined ? [] : [[key, value.value]])));
  const help = helpOf(verb, session);
  const item = session?.open_items?.find(({ gate }) => gate === given["gate"]);
  const numbers = takes.filter(([, { type }]) => type === "number" || type === "whole");
  const confirm = async (): Promise<void> => {
    setSending(true);
    const answer = await command(bed, verb, { ...given, ...typed });
    setSending(false);
    if (!answer.ok) return setProblem(refusal(answer));
    forget();
    (subject(verb, given) === null ? close : back)();
  };
  return (
    <Sheet title={`${subject(verb, given) ?? nameOf(verb)}, ${store.label(bed)}`} close={close} foot={
      <>
        {problem !== null && <em role="alert">{problem}</em>}
        <span>{wrong.join(". ") || (verb === "amend_order" && session && <b>{amended(bed, session, typed)}</b>)}</span>
        <button onClick={back}>Back</button>
        <button class="go" disabled={sending || wrong.length > 0} onClick={() => void confirm()}>{sending ? "Sending" : ASKS.has(verb) ? nameOf(verb) : `Record: ${nameOf(verb).toLowerCase()}`}</button>
      </>
    }>
      {item !== undefined && <p class="caution">➤ {sentence(item.text)}</p>}
      {help !== undefined && <p class="help">{help}</p>}
      {verb === "give_dose" && session && <p class="order-line">Order: {byHandWords(bed, session, session.order?.dose_mg ?? 0)}.</p>}
      {verb === "set_limit" && <ul class="help">{limits.map((one) => <li key={one.limit}>{one.title}: {one.value ?? one.usual} {one.unit}, may be {one.least} to {one.most}{one.value !== null && ` (usual ${one.usual}; ${one.by}: ${one.reason})`}</li>)}</ul>}
      {takes.flatMap(([key, { label, type, choices = [] }]) => (choices.length === 0 ? [] : [
        type === "words" && <p key={`${key}-label`} class="help">{label}:</p>,
        <div key={key} class="presets reasons" role="group" aria-label={label}>
          {choices.map((one) => <button key={one} type="button" aria-pressed={chosen(texts[key]).includes(one)} onClick={() => change(key, type === "words" ? toggled(texts[key], one) : one)}>{limits.find(({ limit }) => key === "limit" && limit === one)?.title ?? (key === "to" ? store.label(keyOf({ edge: idOf(bed).edge, bed: one })) : undefined) ?? (verb === "attest" && key === "what" ? sentence(ATTESTATIONS[one] ?? one) : undefined) ?? sentence(one.replaceAll("_", " "))}</button>)}
        </div>,
      ]))}
      {numbers.length > 0 && <NumberFields texts={texts} change={(key, text) => enter({ [key]: text })} fields={numbers.map(([key, { label, unit = "", presets, optional }]) => (
        { key, label, unit, presets, hint: optional ? MAY_BE_LEFT_OUT : undefined }))} />}
      {takes.filter(([, { type, choices = [] }]) => (type === undefined || type === "words") && choices.length === 0).map(([key, { label, type, optional }]) => (
        <TextField key={key} label={label} name={key} placeholder={type === "words" ? "one after the other, with commas" : optional ? MAY_BE_LEFT_OUT : "not entered"} text={texts[key] ?? ""} change={(text) => enter({ [key]: text })} />
      ))}
      <div class="flags">
        {takes.filter(([, { type }]) => type === "flag").map(([key, { label }]) => (
          ["yes", "no"].map((word) => <button key={key + word} type="button" aria-pressed={texts[key] === word} onClick={() => change(key, word)}>{key === "begun" ? BEGUN[word] : `${label}: ${word}`}</button>)
        ))}
      </div>
    </Sheet>
  );
}
