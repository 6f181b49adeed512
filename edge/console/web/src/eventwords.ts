/** One event of the journal in one plain line. Pure. */
import { clockTime, onTheWall, stopwatch } from "./age.ts";
import type { Order } from "./contract.ts";
import { plain } from "./dose.ts";
import type { DeviceAlarm, EdgeEvent } from "./feed.ts";
import { counted, DISSOCIATION, linkWords, overWords, PHASE, refusal, sentence, symptom, whoWords } from "./words.ts";

const KIND: Record<string, string> = {
  check_in: "Check-in", link: "Connection", audio: "Sound", shelf: "Sound", attention: "Attention", boot: "Start", command: "Refused", journal: "Record",
};
const MOVED: Record<string, string> = { escalate: "more urgent", deescalate: "less urgent", update: "still", start: "" };
const STANDING = new Set(["active", "acknowledged"]);
const SCORES = [["moaas", "MOAA/S"], ["cadss", "CADSS"], ["anxiety", "anxiety"], ["distress", "distress"], ["nausea", "nausea"]] as const;

type Body = EdgeEvent["body"];
type Writer = (body: Body, at: string) => string;

function word(body: Body, key: string): string {
  const value = body[key];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function number(body: Body, key: string): number | null {
  const value = body[key];
  return typeof value === "number" ? value : null;
}

function words(body: Body, key: string): string[] {
  const value = body[key];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

function list(parts: readonly string[]): string {
  return parts.filter(Boolean).join(", ");
}

function by(body: Body): string {
  const who = word(body, "by");
  return who === "" ? "" : `by ${who}`;
}

function alarm(body: Body): string {
  const priority = word(body, "priority").toUpperCase();
  const title = word(body, "title");
  const text = word(body, "text") || title;
  const moved = MOVED[word(body, "alarm_phase")];
  switch (body["state"]) {
    case "inactive": {
      const usual = title !== "" && (text === title || text.endsWith(": over")); // else it says why: handed over, not watched
      return `${usual ? overWords(title, word(body, "device")) : text} (was ${priority})`;
    }
    case "latched": return `Over, not acknowledged: ${text} (was ${priority})`;
    case "acknowledged": return moved ? `${list([priority, moved, "acknowledged"])}: ${text}` : list([`Acknowledged: ${text}`, by(body)]);
    default: {
      const again = moved ?? (STANDING.has(word(body, "was")) ? "told again" : "");
      return [list([priority, again]), text].filter(Boolean).join(": ");
    }
  }
}

function link(body: Body): string {
  const text = linkWords(word(body, "state"), word(body, "device") || "device");
  const reason = body["state"] === "live" ? "" : word(body, "reason");
  return reason === "" ? text : `${text} (${reason})`;
}

function audio(body: Body, at: string): string {
  const until = word(body, "paused_until");
  if (until === "") return list(["Pause ended, alarms sound again", by(body)]);
  const lasts_s = Math.round((Date.parse(until) - Date.parse(at)) / 1000);
  return list([`Alarm sound paused for ${stopwatch(lasts_s)}, until ${clockTime(until)}`, by(body)]);
}

function shelf(body: Body): string {
  const name = list([word(body, "title"), word(body, "device")]);
  const until = word(body, "until");
  return list([until === "" ? `${name} sounds again` : `${name}: no sound until ${clockTime(until)}`, word(body, "why"), by(body)]);
}

function device(body: Body): string {
  const name = sentence(word(body, "device") || "device");
  const alarms = body["alarms"];
  if (word(body, "maintenance_until") !== "") return list([`${name} is in maintenance until ${clockTime(word(body, "maintenance_until"))}`, word(body, "reason"), by(body)]);
  if (word(body, "why") !== "") return list([`${name}: ${word(body, "why")}`, by(body)]);
  if (word(body, "until") !== "") return list([`${name} is disconnected as planned until ${clockTime(word(body, "until"))}`, word(body, "reason"), by(body)]);
  if (!Array.isArray(alarms)) return list([name, word(body, "identity") && `is ${word(body, "identity")}`, word(body, "reason")]);
  const texts = (alarms as DeviceAlarm[]).map(({ text, code }) => text || sentence(code));
  return texts.length === 0 ? `${name}: its own alarms are over` : `${name} says: ${texts.join("; ")}`;
}

function checkIn(body: Body): string {
  const scores = SCORES.flatMap(([key, name]) => (number(body, key) === null ? [] : [`${name} ${word(body, key)}`]));
  const note = word(body, "note").trim();
  const given = (key: string, said: string): string[] => (number(body, key) === null ? [] : [said]);
  const read = [
    ...given("spo2_pct", `SpO₂ ${word(body, "spo2_pct")} % read by hand`), ...given("resp_bpm", `respiration ${word(body, "resp_bpm")} /min counted`), ...given("pulse_bpm", `pulse ${word(body, "pulse_bpm")} /min counted`),
    ...given("sbp_mmhg", `blood pressure ${word(body, "sbp_mmhg")}/${word(body, "dbp_mmhg")} mmHg by hand`),
  ];
  const parts = [...scores, ...read, ...words(body, "symptoms").map(symptom), ...words(body, "gone").map((one) => `no more: ${symptom(one)}`), note && `note: ${note}`];
  return list([sentence(list(parts) || "nothing assessed"), by(body)]);
}

const INTERLOCK: Record<string, (pump: string) => string> = {
  asked: (pump) => `To arm the stop of the ${pump} is asked for`,
  armed: (pump) => `The stop of the ${pump} is armed`,
  disarmed: (pump) => `The stop of the ${pump} is no longer armed`,
};
const STOP: Record<string, (pump: string) => string> = {
  sent: (pump) => `Stop sent to the ${pump}`,
  not_sent: (pump) => `Stop not sent, the ${pump} is not connected`,
  confirmed: (pump) => `The ${pump} says that it stands still`,
  withdrawn: () => "Stop not sent any more, the alarm is over",
};

/** What changed in a session, but for its opening, its checklist and its end. */
const CHANGES: Record<string, (body: Body) => string> = {
  dose: (body) => list([`${counted(number(body, "devices") ?? 0, "device")} given: ${word(body, "mg")} mg`, words(body, "lots").length > 0 ? `lot ${words(body, "lots").join(", ")}` : ""]),
  amended: (body) => list([["Order amended", ordered(body["order"])].filter(Boolean).join(": "), `ordered by ${word(body, "prescriber")}`]),
  override: (body) => `Goes on in spite of: ${word(body, "text")}`,
  baseline: () => "New baseline",
  attested: (body) => `${sentence(word(body, "what"))}: ${body["so"] === true ? "yes" : "no"}`,
  measure_bp: (body) => `A blood pressure was asked for: the ${word(body, "cuff")} is started`,
  interlock: (body) => INTERLOCK[word(body, "state")]?.(word(body, "device")) ?? "Stop of the pump",
  pump_stop: (body) => `${STOP[word(body, "stop")]?.(word(body, "device")) ?? "Stop of the pump"}: ${word(body, "text")}`,
  held: (body) => (body["held"] === true ? "The treatment is held" : "The treatment may go on"),
  limit: (body) => `${word(body, "title")} of this patient: ${word(body, "value")} ${word(body, "unit")}, was ${word(body, "was")}, usual ${word(body, "usual")}`,
  moved_to: (body) => `Goes on at ${word(body, "to")}${words(body, "devices").length > 0 ? ` with ${words(body, "devices").join(", ")}` : ""}`,
  moved_from: (body) => `Goes on here, was at ${word(body, "from")}`,
  drug_channel: (body) => `The ${word(body, "device")} gives the drug`,
};

function session(body: Body): string {
  if (body["change"] === "checklist") return list([body["done"] === false ? "Checklist taken back" : "Checklist confirmed", by(body)]);
  if (body["change"] === "closed") {
    const given = number(body, "delivered_mg");
    const unmet = words(body, "unmet");
    return list(["Closed", by(body), word(body, "reason"), given === null ? "" : `${plain(given)} mg given`, unmet.length > 0 ? `unmet: ${unmet.join("; ")}` : ""]);
  }
  const change = CHANGES[word(body, "change")];
  if (change !== undefined) return list([change(body), word(body, "reason") || word(body, "why"), by(body)]);
  return list(["Opened", by(body), ordered(body["order"]).replace(/^(?=.)/, "order ")]);
}

/** "35 mg in 40 min"; of a dose by hand "84 mg by hand". "": an order that says no dose. */
function ordered(order: unknown): string {
  const { dose_mg, duration_min } = (order ?? {}) as Partial<Order>;
  if (dose_mg == null) return "";
  return `${plain(dose_mg)} mg ${duration_min == null ? "by hand" : `in ${plain(duration_min)} min`}`;
}

/** Who was told of an alarm, what was said about it, to whom alarms go, what was said for information. */
function attention(body: Body): string {
  switch (body["change"]) {
    case "told": return `${sentence(whoWords(word(body, "who")))} was told: ${word(body, "text") || word(body, "title")} (${word(body, "priority").toUpperCase()})`;
    case "comment": return `${list(["Comment", by(body)])} on “${word(body, "title")}”: ${word(body, "comment")}`;
    case "delegated": {
      const until = word(body, "until");
      const what = until === "" ? `Alarms no longer go to ${whoWords(word(body, "to"))} first` : `Alarms go to ${whoWords(word(body, "to"))} first until ${clockTime(until)}`;
      return list([word(body, "why") === "" ? what : `${what} (${word(body, "why")})`, by(body)]);
    }
    default: return word(body, "text");
  }
}

function boot(body: Body): string {
  if (body["step_s"] !== undefined) return `The clock of the box was set by ${word(body, "step_s")} s`;
  if (body["why"] !== undefined) return `Nobody watched for ${stopwatch(Number(body["gap_s"]))}: the box ${word(body, "why")}`;
  return body["gap_s"] ? `Restarted: nobody watched for ${stopwatch(Number(body["gap_s"]))}` : "Started";
}

function journal(body: Body): string {
  if (body["storage"] === "failing") return `Cannot be written: ${word(body, "reason")}; kept in memory`;
  if (body["storage"] === "begun") return `Was damaged (${word(body, "damage")}), and goes on in a new file after event ${word(body, "after_seq")}`;
  if (body["storage"] === "space_low") return `The disk is ${word(body, "used_pct")} % full`;
  if (body["storage"] === "recovered") return recovered(body);
  const lost = number(body, "lost_inputs") ?? 0;
  const kept = `${word(body, "events")} events kept in memory for ${stopwatch(Number(body["failed_s"]))} are stored`;
  return list([`Can be written again: ${kept}`, lost > 0 ? `${lost} readings are lost` : ""]);
}

/** An event that the record had lost, as the console had it. */
function recovered(body: Body): string {
  const at = word(body, "of_at");
  const said = (WRITERS[word(body, "of_kind")] ?? other)((body["of_body"] ?? {}) as Body, at);
  return `Of ${clockTime(at)}, lost here and given back by console ${word(body, "console")}: ${said}`;
}

function phase(body: Body): string {
  const name = word(body, "phase");
  return [PHASE[name as keyof typeof PHASE] ?? sentence(name), word(body, "why")].filter(Boolean).join(": ");
}

function dissociation(body: Body): string {
  const state = word(body, "state");
  const basis = word(body, "basis");
  return list([(DISSOCIATION[state] ?? `Dissociation: ${state}`) + (basis === "" ? "" : ` (${basis})`), by(body)]);
}

function command(body: Body): string {
  const verb = word(body, "verb").replaceAll("_", " ");
  return list([`${sentence(verb)}: ${refusal({ ok: false, status: 422, reason: word(body, "reason") || null })}`, by(body)]);
}

/** What is not listed here: its words, else its plain fields. */
function other(body: Body): string {
  const text = list([word(body, "text") || word(body, "reason") || word(body, "why"), by(body)]);
  if (text !== "") return text;
  return list(Object.entries(body).filter(([, value]) => value !== null && typeof value !== "object").map(([key, value]) => `${sentence(key)} ${String(value)}`));
}

const WRITERS: Record<string, Writer> = { alarm, attention, link, audio, shelf, device, check_in: checkIn, session, boot, journal, phase, dissociation, command };

export function kindOf(event: EdgeEvent): string {
  return KIND[event.kind] ?? sentence(event.kind);
}

export function sentenceOf(event: EdgeEvent): string {
  return onTheWall((WRITERS[event.kind] ?? other)(event.body, event.at), event.at);
}
