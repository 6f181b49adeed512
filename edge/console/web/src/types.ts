/** What the console's server says to the page, and the page to it: the wire, and nothing else. */

export type Role = "nurse" | "technician";
export type Priority = "high" | "medium" | "low" | "none";
export type AlarmState = "pending" | "active" | "acknowledged" | "latched" | "inactive";
export type PumpState = "infusing" | "stopped" | "paused" | "alarm" | "unknown";
export type Phase = "PRECHECK" | "READY" | "INFUSING" | "PAUSED" | "RECOVERY" | "DISCHARGE_READY" | "CLOSED";
export type Link = "connecting" | "live" | "silent" | "lost" | "wrong_device" | "unstable";

export interface User { name: string; role: Role }
export interface Me extends User { csrf: string }

export interface Numeric {
  value: number | null;
  at: string;
  age_s: number;
  stale: boolean;
  validity: string;
  reason: string | null;
  device: string;
}
export interface Pump { state: PumpState; device: string; at: string; age_s: number; stale: boolean }
export interface Vitals {
  edge: string;
  bed: string;
  at: string;
  simulated: boolean;
  numerics: Record<string, Numeric>;
  pump: Pump | null;
}

export interface Order {
  protocol: string;
  weight_kg: number | null;
  dose_mg_kg: number | null;
  dose_mg: number | null;
  duration_min: number | null;
  concentration_mg_ml: number | null;
  nibp_interval_min: number | null;
}
export interface Baseline {
  sbp_mmhg: number | null;
  dbp_mmhg: number | null;
  determinations: number;
  quality: string | null;
}
export interface Session {
  id: string;
  phase: Phase;
  phase_since: string | null;
  dissociation: string;
  dissociation_state: string | null;
  dissociation_since: string | null;
  started: string | null;
  infusion_started: string | null;
  infusion_ended: string | null;
  infused_s: number | null;
  dose_mg: number | null;
  order: Order | null;
  baseline: Baseline | null;
  open: string[];
  check_in: Record<string, unknown> | null;
  check_in_due: string | null;
}
export interface Evidence { metric: string; value: number | null; age_s?: number }
export interface Alarm {
  alarm: string;
  rule: string;
  title: string;
  state: AlarmState;
  priority: Priority;
  class: "physiological" | "technical" | null;
  since: string;
  seq: number;
  text: string;
  why: string;
  clears: string;
  limit: string | null;
  evidence: Evidence[];
  by: string | null;
}
export interface DeviceAlarm { code: string; priority: Priority; raw: string; text: string }
export interface Device {
  device: string;
  kind: string;
  driver: string;
  identity: string | null;
  link: Link;
  since: string;
  frames: number;
  bad: number;
  late: number;
  alarms: DeviceAlarm[];
}
export interface BedState {
  edge: string;
  bed: string;
  at: string;
  seq: number;
  boot: string;
  session: Session | null;
  alarms: Alarm[];
  devices: Device[];
  audio_paused_until: string | null;
  request: { text: string; since: string } | null;
  gap?: { from: string; to: string } | null;
  simulated: boolean;
  patient: string | null;
  live: boolean;
}

export interface Wave {
  edge: string;
  bed: string;
  name: string;
  start: string;
  rate: number;
  low: number;
  high: number;
  samples: (number | null)[];
}
export interface Hop { ok: boolean; since?: string | null; age_s?: number | null }
export interface Hops { broker: Hop; edge: Hop; console: Hop; sound: Hop }
export interface EdgeEvent {
  seq: number;
  edge: string;
  bed: string | null;
  at: string;
  kind: string;
  late: boolean;
  body: Record<string, unknown>;
}
/** One edge in a beat: its own clock now, how far that is from the console's, and whether it is heard. */
export interface EdgeHealth { at: string; skew_s: number | null; broker: Hop; edge: Hop; record?: Hop }

/** One thing that is wrong, in words, with what to do next. */
export interface Trouble { part: string; edge: string | null; since: string | null; what: string; remedy: string }

export type ServerMessage =
  | { t: "hello"; now: string; speed: number; edge: string; edges?: string[]; simulated: boolean; user: User; beds: string[];
      ward?: { edge: string; bed: string; name: string }[]; version?: string; build?: string }
  | { t: "beat"; at: string; hops: Hops; edges?: Record<string, EdgeHealth>; health?: Trouble[] }
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
