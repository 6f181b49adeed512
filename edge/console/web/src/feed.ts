/** What the console says to the page beyond the contract (contract.ts): the live feed's messages, and whoever is signed in. */
import { CARERS } from "./contract.ts";
import type { EventKind, EventOf, ProtocolNow, Role, State, Vitals, Wave as WaveOnWire } from "./contract.ts";

export type {
  AlarmNow as Alarm, AlarmState, Baseline, DeviceAlarmNow as DeviceAlarm, DeviceNow as Device, Evidence, LinkState as Link, Numeric, Order, OtherNumeric, Phase,
  Priority, PumpNow as Pump, PumpState, Role, SessionNow as Session, Vitals,
} from "./contract.ts";

export interface User { name: string; role: Role }

/** Whether they care for patients: they see names, acknowledge, and hear alarms. */
export function isClinical(user: User | null | undefined): boolean {
  return CARERS.some((role) => role === user?.role);
}

/**
 * `expires_at`, `now`: of the console's clock. `lock_after_s`: real seconds nobody uses a screen before it locks.
 * `locked`: what is shown goes on, commands need the password.
 */
export interface Me extends User { csrf: string; expires_at?: string; now?: string; lock_after_s?: number; locked?: boolean }

/** What came of a command. `reason`: the edge's or console's code for a refusal; `problem`: what a problem document says, with its remedy. */
export interface Answer { ok: boolean; status: number; reason: string | null; problem?: string | null; state?: unknown }

/** A bed's state with what the console adds: the patient's name, and whether this is what is now. */
export interface BedState extends State { patient: string | null; live: boolean }

export interface Wave extends Pick<WaveOnWire, "edge" | "bed" | "name" | "start" | "low" | "high" | "samples"> { rate: number }

/** An event as any edge ever wrote it: its body is read with care. */
export interface EdgeEvent extends Pick<EventOf<EventKind>, "seq" | "edge" | "bed" | "at" | "late">,
  Partial<Pick<EventOf<EventKind>, "unstored">> {
  kind: string;
  body: Readonly<Record<string, unknown>>;
}

export interface Hop { ok: boolean; since?: string | null; age_s?: number | null }
export interface Hops { broker: Hop; edge: Hop; console: Hop; sound: Hop }
/** One edge in a beat: its own clock now, how far that is from the console's, and whether it is heard. */
export interface EdgeHealth { at: string; skew_s: number | null; broker: Hop; edge: Hop; record?: Hop }

/** One thing that is wrong, in words, with what to do next. */
export interface Trouble { part: string; edge: string | null; since: string | null; what: string; remedy: string }

export type ServerMessage =
  | { t: "hello"; now: string; speed: number; edge: string; edges?: string[]; simulated: boolean; user: User; beds: string[];
      ward?: { edge: string; bed: string; name: string }[]; version?: string; build?: string }
  | { t: "beat"; at: string; hops: Hops; edges?: Record<string, EdgeHealth>; health?: Trouble[] }
  | { t: "ward"; edge: string; beds: string[] }
  | { t: "protocols"; edge: string; protocols: ProtocolNow[] }
  | ({ t: "vitals" } & Vitals)
  | ({ t: "state" } & BedState)
  | ({ t: "wave" } & Wave)
  | { t: "event"; event: EdgeEvent };

export type PageMessage =
  | { t: "watch"; edge: string | null; bed: string | null }
  | { t: "sounded"; edge: string; seq: number }
  | { t: "sound"; state: "on" | "blocked" };

export interface Determination { at: string; sbp_mmhg: number | null; dbp_mmhg: number | null; map_mmhg: number | null }
export interface History {
  at: string[];
  metrics: Record<string, (number | null)[]>;
  determinations: Determination[];
}
