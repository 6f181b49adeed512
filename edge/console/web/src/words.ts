/** The words on the screen for the words on the wire. Pure. */
import { clockTime } from "./age.ts";
import { type AlarmLimitNow, type InterlockNow, type LimitNow, type Signals, SYMPTOMS, type ToldNow } from "./contract.ts";
import { soundOf } from "./rank.ts";
import type { Alarm, Answer, Device, Phase, Priority, PumpState, Session } from "./feed.ts";

export const SYMBOL: Record<Priority, string> = { high: "!!!", medium: "!!", low: "!", none: "" };
export const PRIORITY: Record<Priority, string> = { high: "HIGH", medium: "MEDIUM", low: "LOW", none: "" };

export const PHASE: Record<Phase, string> = {
  PRECHECK: "Pre-check", READY: "Ready", INFUSING: "Infusing", PAUSED: "Infusion paused", RECOVERY: "Recovery",
  DISCHARGE_READY: "Ready for discharge", CLOSED: "Closed",
};

/** A drug that a person gives by hand or takes is not infused. */
export function phaseName(phase: Phase, session: Session | null): string {
  return phase === "INFUSING" && byHand(session) ? "Dosing" : PHASE[phase];
}

/** Whether a person gives the dose, and no pump. */
export function byHand(session: Session | null | undefined): boolean {
  return session?.order?.dose_mg != null && session.order.dose_mg_kg === null;
}

export const PUMP: Record<PumpState, string> = {
  infusing: "Infusing", stopped: "Stopped", paused: "Paused", alarm: "Pump alarm", unknown: "State unknown",
};

export const DISSOCIATION: Record<string, string> = {
  expected: "Dissociation expected", observed: "Dissociation observed", resolving: "Dissociation resolving",
};

const KIND: Record<string, string> = { nibp: "cuff", oximeter: "oximeter", pump: "pump", monitor: "monitor" };

const REASON: Record<string, string> = {
  sensor_off: "Sensor off", sensor_disconnected: "Sensor unplugged", no_sensor: "No sensor", searching: "Searching",
  low_perfusion: "Weak pulse signal", artifact: "Movement", low_signal_quality: "Poor signal", ambient_light: "Too much light",
  cuff_loose: "Cuff loose", cuff_leak: "Cuff leaks", overpressure: "Cuff overpressure", inflate_timeout: "Cuff did not inflate",
  weak_pulse: "Weak pulse", out_of_range: "Out of range", module_error: "Device fault", user_abort: "Stopped by hand",
  timeout: "Took too long", pneumatic_fault: "Cuff pump fault", not_measured: "Not measured", spot_check_only: "Spot check only",
  implausible: "Implausible value", invalid: "No valid value", unavailable: "No value", measuring: "Measuring",
  calibrating: "Calibrating", overflow: "Above range", underflow: "Below range", questionable: "Uncertain",
};

const REFUSED: Record<string, string> = {
  moved_on: "This alarm has changed, look again",
  no_answer: "No answer. It may or may not have been done: look, then try again.",
  late: "The edge did not answer in time. It may or may not have been done: look, then try again.",
  no_broker: "Not sent: the message broker is down.", store_broken: "Not sent: the console cannot store it.",
  expired: "The edge got it too late and did not do it. Try again.", forbidden: "Your role may not do this.",
};

export function reasonWords(reason: string | null): string {
  return reason === null ? "No value" : REASON[reason] ?? sentence(reason);
}

export function sentence(word: string): string {
  const words = word.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** A symptom in words: the vocabulary's, or as a nurse wrote it. */
export function symptom(name: string): string {
  return SYMPTOMS[name] ?? name.replaceAll("_", " ");
}

export function kindWord(device: Pick<Device, "kind" | "device">): string {
  return KIND[device.kind ?? ""] ?? device.device;
}

/** How a device's link stands, whichever it is. */
export function linkWords(link: string, device: string): string {
  switch (link) {
    case "live": return `${sentence(device)} connected`;
    case "connecting": return `Connecting to ${device}`;
    case "silent": return `No data from ${device}`;
    case "lost": return `${sentence(device)} connection lost`;
    case "unstable": return `${sentence(device)} connection comes and goes`;
    case "wrong_device": return `Wrong ${device} connected`;
    default: return `${sentence(device)}: ${link}`;
  }
}

const LINK_REMEDY: Record<string, string> = {
  connecting: "Switched on and plugged in?", silent: "Switch it on; check its cable and that it sends.",
  lost: "Check cable and adapter at the edge box.", unstable: "Do not rely on it. Change its cable, then its adapter.",
  wrong_device: "Connect this bed's own device.",
};

/** What to do about a link that is not live; null: nothing. */
export function linkRemedy(link: string, ask?: boolean): string | null {
  if (ask) return "Look that its cable is at its own bed; then a nurse says so on the bed’s page: “It is this bed’s own”.";
  return link === "live" ? null : LINK_REMEDY[link] ?? "Look at the device.";
}

/** Why nothing may come from a device: what is wrong with its link, or that it is off as planned; null: nothing. */
export function linkTrouble(device: Device): string | null {
  if (device.off_until !== undefined) return `${sentence(kindWord(device))} off as planned until ${clockTime(device.off_until)}`;
  if (device.ask) return `Whose ${kindWord(device)} is this?`;
  return device.link === "live" ? null : linkWords(device.link, kindWord(device));
}

/** An alarm that is over, with its device where the rule's title does not name it. */
export function overWords(title: string, device: string): string {
  if (title === "") return "";
  const named = device === "" || title.toLowerCase().includes(device.toLowerCase());
  return `${named ? title : `${title} (${device})`}: over`;
}

/** What stands where alarms would: none now, or none that was known when the data stopped. `besides` what is told elsewhere. */
export function noAlarms(live: boolean, besides = false): string {
  if (!live) return "No alarm was known when the data stopped";
  return besides ? "No other alarms" : "No alarms";
}

/** "at 10:40"; "by 10:40" where the time is the latest. */
function nextTime({ what, at }: Session["next"][number]): string {
  const latest = what === "start" || what === "resume";
  return `${latest ? "by" : "at"} ${clockTime(at)}`;
}

/** What a person has to do by a time; the others come by themselves. */
const DUE: ReadonlySet<string> = new Set(["bp", "check_in", "start", "resume", "dose"]);

/** What is next at a bed, and when: "Next: check-in at 10:40", or since when it is overdue. null: nothing, or an edge that does not say. */
export function nextWords(session: Pick<Session, "next"> | null | undefined, edge_ms: number | null = null): string | null {
  const first = session?.next?.[0];
  if (first === undefined) return null;
  if (first.at === null) return `Next: ${first.text}`;
  const overdue = DUE.has(first.what) && edge_ms !== null && Date.parse(first.at) < edge_ms;
  return `Next: ${first.text} ${overdue ? `overdue since ${clockTime(first.at)}` : nextTime(first)}`;
}

/** A saturation that a person entered: "96 % entered at 10:40 by anna". null: none was. */
export function enteredWords(spot: Session["spo2_entered"]): string | null {
  return spot === undefined ? null : `${spot.pct} % entered at ${clockTime(spot.at)} by ${spot.user}`;
}

/** A blood pressure that a person measured by hand: "182/104 mmHg entered at 10:40 by anna". null: none was. */
export function bpWords(bp: Session["bp_entered"]): string | null {
  return bp === undefined ? null : `${bp.sbp_mmhg}/${bp.dbp_mmhg} mmHg entered at ${clockTime(bp.at)} by ${bp.user}`;
}

/** How far numbers are from their next alarm, of the one that is nearest: "4 to the alarm at 93". null: no alarm compares them, or one has begun. */
export function marginWords(limits: readonly AlarmLimitNow[] | undefined, numbers: readonly { metric: string; value: number | null; name?: string }[], decimals = 0): string | null {
  const [next] = numbers.flatMap(({ metric, value, name = "" }) => (limits ?? []).filter((one) => value !== null && one.metric === metric)
    .map(({ at, worse, twice }) => ({ name, at, twice, away: (at - (value ?? 0)) * worse }))).sort((a, b) => a.away - b.away);
  if (next === undefined || next.away <= 0) return null;
  return `${next.name} ${next.away.toFixed(decimals)} to the alarm at ${next.at.toFixed(decimals)}${next.twice ? ", twice" : ""}`.trimStart();
}

/** The limits that are this patient's own: "own limits: SpO₂, prompt 88 % (usual 90)". null: none is. */
export function ownLimits(limits: readonly LimitNow[] | undefined): string | null {
  const own = (limits ?? []).filter(({ value }) => value !== null);
  return own.length === 0 ? null : `own limits: ${own.map(({ title, value, unit, usual }) => `${title} ${value} ${unit} (usual ${usual})`).join("; ")}`;
}

/** Whether alarms stop the pump of a bed, and how the last stop stands. `urgent`: a person must look now. null: nothing to say. */
export function interlockWords(interlock: InterlockNow | undefined): { text: string; urgent: boolean } | null {
  if (interlock === undefined) return null;
  const { stop, state, first, second, until, device } = interlock;
  switch (stop?.state) {
    case "sent": return { text: `STOP SENT, NOT CONFIRMED: look at the ${device}`, urgent: true };
    case "not_sent": return { text: `STOP NOT SENT, the ${device} is not connected: stop it by hand`, urgent: true };
    case "unconfirmed": return { text: `STOP NOT CONFIRMED: stop the ${device} by hand`, urgent: true };
    case "confirmed": return { text: `${sentence(device)} stopped at ${clockTime(stop.at)} because of: ${stop.text}`, urgent: false };
    case undefined: break;
  }
  if (state === "armed") return { text: `Stop of the ${device} armed by ${first} and ${second}`, urgent: false };
  return state === "asked" ? { text: `${first} asks to arm the stop of the ${device}: a second person must, by ${clockTime(until)}`, urgent: false } : null;
}

/** The device's own alarms in its own words; null: it has none. An alarm without a word is still told. */
export function deviceSays(device: Pick<Device, "alarms"> | undefined, alarmed: boolean, name: string): string | null {
  const texts = (device?.alarms ?? []).map(({ text, code }) => text || sentence(code)).filter(Boolean);
  if (texts.length > 0) return `${sentence(name)} says: ${texts.join("; ")}`;
  return alarmed ? `${sentence(name)} says: alarm, see the ${name}` : null;
}

/** Why a command was not done, in words a nurse can act on. */
export function refusal(answer: Answer): string {
  if (answer.reason !== null) {
    const [word = "", ...words] = answer.reason.split(": "); // "not_now: the pump is still infusing"
    if (word === "already_acknowledged") return `Already acknowledged ${words.join(": ")}`;
    return REFUSED[word] ?? sentence(words.length > 0 ? words.join(": ") : word);
  }
  if (answer.problem) return answer.problem;
  if (answer.status === 401) return "You are signed out. Sign in again.";
  if (answer.status === 403) return REFUSED["forbidden"] ?? "";
  if (answer.status === 409) return REFUSED["moved_on"] ?? "";
  if (answer.status === 504) return REFUSED["late"] ?? "";
  return `Not done (${answer.status}).`;
}

/** Who is told of an alarm: a role, the box, or a person by name. */
export function whoWords(who: string): string {
  switch (who) {
    case "nurse": case "prescriber": case "technician": return `the ${who}`;
    case "box": return "the box, which sounds";
    default: return who;
  }
}

/** "Told: the nurse 10:00, the prescriber 10:01." */
export function toldWords(told: readonly ToldNow[]): string {
  return told.length === 0 ? "" : `Told: ${told.map(({ who, at }) => `${whoWords(who)} ${clockTime(at)}`).join(", ")}.`;
}

const SIGNAL: Record<string, string> = { on: "on", paused: "paused", latched: "latched until acknowledged", acknowledged: "off, acknowledged", off: "off" };

/** How an alarm is signalled: apart from whether its condition stands. */
export function signalWords({ audio, visual, remote }: Signals): string {
  return `sound ${SIGNAL[audio] ?? audio}; on the screens ${visual === "acknowledged" ? "acknowledged" : SIGNAL[visual] ?? visual}; told elsewhere ${SIGNAL[remote] ?? remote}`;
}

/** What a line says of an alarm that is over and that nobody has acknowledged. */
export function latchedWords(alarm: Alarm): string {
  return soundOf(alarm) === "none" ? ", over," : ", over, sounds until acknowledged,";
}

export function number(value: number | null, decimals = 0): string {
  return value === null ? "--" : value.toFixed(decimals);
}

/** "1 device", "2.5 devices". */
export function counted(many: number, what: string): string {
  return `${Number(many.toFixed(1))} ${what}${many === 1 ? "" : "s"}`;
}
