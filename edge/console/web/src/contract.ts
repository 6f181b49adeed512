/** The contract as the page knows it. Made by `python -m edge.contract.typescript`; do not edit. */

/** What Vigil is, wherever that is stated. */
export const STATEMENT = "Vigil is a research and evaluation system: a secondary display, not cleared or certified as a medical device. The bedside devices' own alarms stay in force; whoever operates it decides its status where it is used.";

export type Role = "nurse" | "technician" | "prescriber" | "administrator";
export type Priority = "high" | "medium" | "low" | "none";
export type AlarmState = "pending" | "active" | "acknowledged" | "latched" | "inactive";
export type AlarmClass = "physiological" | "technical";
export type PumpState = "infusing" | "stopped" | "paused" | "alarm" | "unknown";
export type Phase = "PRECHECK" | "READY" | "INFUSING" | "PAUSED" | "RECOVERY" | "DISCHARGE_READY" | "CLOSED";
export type Dissociation = "none" | "expected" | "observed" | "resolving" | "resolved";
export type LinkState = "connecting" | "live" | "silent" | "lost" | "wrong_device" | "unstable";
export type DeviceKind = "pump" | "nibp" | "oximeter" | "monitor";
export type Validity = "valid" | "questionable" | "measuring" | "calibrating" | "invalid" | "unavailable" | "overflow" | "underflow";
export type EventKind = "alarm" | "session" | "phase" | "dissociation" | "check_in" | "request" | "audio" | "shelf" | "attention" | "command" | "link" | "device" | "boot" | "stream" | "journal";
export type Route = "intravenous" | "subcutaneous" | "nasal" | "intramuscular";

/** The latest word on one metric. `value` is null unless `validity` is valid or questionable. */
export interface Numeric {
  value: number | null;
  at: string;
  age_s: number;
  stale: boolean;
  validity: Validity;
  reason: string | null;
  device: string;
}

/** What the pump's own status said last. */
export interface PumpNow {
  state: PumpState;
  device: string;
  at: string;
  age_s: number;
  stale: boolean;
}

/** What a second device says of a metric that has another source now: valid, with its own age. */
export interface OtherNumeric {
  metric: string;
  value: number;
  at: string;
  age_s: number;
  stale: boolean;
  device: string;
}

/** All latest numerics of one bed, by metric key (edge.vocabulary). */
export interface Vitals {
  edge: string;
  bed: string;
  at: string;
  simulated: boolean;
  numerics: Record<string, Numeric>;
  pump: PumpNow | null;
  boot: string;
  others?: OtherNumeric[];
}

/** Consecutive samples of one waveform; `start` is the first one's time, each is `low` to `high` or null. */
export interface Wave {
  edge: string;
  bed: string;
  name: string;
  device: string;
  start: string;
  rate_hz: number;
  low: number;
  high: number;
  samples: (number | null)[];
  simulated: boolean;
  boot: string;
  at: string;
}

/** What was ordered for a session. */
export interface Order {
  protocol: string;
  weight_kg: number | null;
  dose_mg_kg: number | null;
  dose_mg: number | null;
  duration_min: number | null;
  concentration_mg_ml: number | null;
  nibp_interval_min: number | null;
  first_session?: boolean;
  hypertension?: boolean;
}

/** This patient's own values before the infusion, from how many determinations, and how good they are. */
export interface Baseline {
  sbp_mmhg: number | null;
  dbp_mmhg: number | null;
  determinations: number;
  quality: string | null;
  map_mmhg: number | null;
  pulse_bpm: number | null;
  spo2_pct: number | null;
}

/** The last check-in; null is "not assessed". */
export interface CheckInNow {
  at: string;
  user: string;
  moaas: number | null;
  cadss: number | null;
  anxiety: number | null;
  distress: number | null;
  nausea: number | null;
  symptoms: string[];
  note: string;
}

/** What the patient took by hand at `at`: so many devices, together `mg`. */
export interface DoseNow {
  at: string;
  devices: number;
  mg: number;
  lots: string[];
  user: string;
}

/** A gate that is open before the next step: what is missing, since when, and from when it can be met (null: now). `override`: who may go on in spite of it; `overridden_by`: who has, and for which `reason`. */
export interface OpenNow {
  gate: string;
  text: string;
  since: string | null;
  at: string | null;
  override: Role[];
  overridden_by: string | null;
  reason: string | null;
}

/** What is next at this bed, and when (null: now; of start and resume: by when). `what`: held, precheck, start, dose, bp, check_in, oximetry, end, resume, leave, or close. */
export interface NextNow {
  what: string;
  text: string;
  at: string | null;
}

/** What a person has seen last: that it is so, or not. */
export interface AttestedNow {
  what: string;
  so: boolean;
  at: string;
  user: string;
}

/** What a model makes of the dose, ng/mL, in the blood and where it acts. `degraded`: the pump has not been heard lately. It judges nothing. */
export interface EstimateNow {
  model: string;
  blood_ng_ml: number;
  effect_ng_ml: number;
  degraded: boolean;
  text: string;
}

/** A limit that a prescriber may set for this patient, from `least` to `most`; `value`: as it is set (null: the usual one), by whom, when and why. */
export interface LimitNow {
  limit: string;
  title: string;
  unit: string;
  usual: number;
  least: number;
  most: number;
  value: number | null;
  by: string | null;
  reason: string | null;
  at: string | null;
}

/** A person holds the treatment: what must be met before it goes on stands in the session's open items. */
export interface HeldNow {
  by: string;
  reason: string;
  at: string;
}

/** The last saturation, %, that a person entered: when and who. It is never a live number. */
export interface SpotNow {
  pct: number;
  at: string;
  user: string;
}

/** The last blood pressure, mmHg, that a person measured and entered. It is never a live number. */
export interface BpNow {
  sbp_mmhg: number;
  dbp_mmhg: number;
  at: string;
  user: string;
}

/** That the session was at another bed of this edge before. */
export interface StayNow {
  bed: string;
  from: string;
  until: string;
}

/** The open session of a bed. No patient: names live in the console's store alone. */
export interface SessionNow {
  id: string;
  phase: Phase;
  phase_since: string | null;
  dissociation: "open" | "closed";
  dissociation_state: Dissociation | null;
  dissociation_since: string | null;
  started: string | null;
  infusion_started: string | null;
  infusion_ended: string | null;
  infused_s: number | null;
  dose_mg: number | null;
  dose_mg_kg: number | null;
  ready_min: number | null;
  primed_mg: number;
  after_end_mg: number;
  order: Order | null;
  baseline: Baseline | null;
  open: string[];
  check_in: CheckInNow | null;
  check_in_due: string | null;
  symptoms: string[];
  quiet: boolean;
  route: Route | null;
  bp_due: string | null;
  doses: DoseNow[];
  open_items: OpenNow[];
  estimate: EstimateNow | null;
  next: NextNow[];
  held: HeldNow | null;
  limits: LimitNow[];
  attested: AttestedNow[];
  stays: StayNow[];
  spo2_due?: string;
  spo2_entered?: SpotNow;
  bp_entered?: BpNow;
  checklist: boolean | null;
}

/** One number an alarm rests on, and how old it was. */
export interface Evidence {
  metric: string;
  value: number | null;
  age_s: number | null;
}

/** How an alarm condition is signalled here (audio, visual) and elsewhere (remote); words of IEEE 11073 BICEPS. */
export interface Signals {
  audio: "on" | "paused" | "latched" | "acknowledged" | "off";
  visual: "on" | "paused" | "latched" | "acknowledged" | "off";
  remote: "on" | "paused" | "latched" | "acknowledged" | "off";
}

/** A higher level at which an alarm stood, that latches and that nobody has acknowledged: what was said then. */
export interface FallenLevel {
  rule: string;
  title: string;
  priority: Priority;
  text: string;
}

/** What several alarms of this edge have in common: a wire, a moment, the box itself. Those of one `id` are one line on a screen, and each bed's own in all else. */
export interface CauseNow {
  id: string;
  text: string;
}

/** Who was told of an alarm, or is next: a role, `box` (the sounder of the box), or a person's name. */
export interface ToldNow {
  who: string;
  at: string;
}

/** What somebody has said about an alarm. */
export interface CommentNow {
  text: string;
  by: string;
  at: string;
}

/** The alarms of this bed are told to `to` first, a role or a person, until then. */
export interface DelegationNow {
  to: string;
  since: string;
  until: string;
  by: string;
  reason: string;
}

/** Worth knowing, and no alarm: it is shown for a while, and signalled once. */
export interface InformationNow {
  what: "reminder" | "infusion_ended" | "delegation";
  text: string;
  at: string;
}

/** A technician works on a device, until then at the latest. */
export interface MaintenanceNow {
  since: string;
  until: string;
  by: string;
  reason: string;
}

/** Where one alarm stands. `seq` is the event that moved it last: an acknowledgement names the one the nurse saw. `no_data`: what it is about cannot be told now, so it stays; `no_data_since`: since when. `worst`: a higher level that has fallen and that nobody has acknowledged. `sound`: at this priority it sounds until somebody acknowledges it, even where it is over or has fallen; absent: at its own while it is active. `text_at`: when `text` was true. The rest is what that event said (AlarmMoved). */
export interface AlarmNow {
  alarm: string;
  rule: string;
  title: string;
  state: AlarmState;
  was: AlarmState;
  priority: Priority;
  class: AlarmClass | null;
  device: string | null;
  since: string;
  seq: number;
  text: string;
  why: string;
  clears: string;
  limit: string | null;
  evidence: Evidence[];
  by: string | null;
  acknowledged_at: string | null;
  no_data: boolean;
  phase: Phase | null;
  dissociation: Dissociation | null;
  superseded_by?: string;
  command?: string;
  level?: number;
  alarm_phase?: "start" | "continue" | "update" | "escalate" | "deescalate" | "end" | "reset";
  no_data_since?: string;
  text_at?: string;
  worst?: FallenLevel;
  signals?: Signals;
  shelved_until?: string;
  told?: ToldNow[];
  next_told?: ToldNow;
  comments?: CommentNow[];
  sound?: Priority;
  cause?: CauseNow;
}

/** One alarm a device itself has: the shared code, and its own. */
export interface DeviceAlarmNow {
  code: string;
  priority: Priority;
  raw: string;
  text: string;
}

/** What came over a device's wire in one minute: good and bad frames, late ones, requests without a response; bytes received, understood, and foreign (that became no frame). */
export interface LineMinute {
  at: string;
  frames: number;
  bad: number;
  late: number;
  timeouts: number;
  received: number;
  understood: number;
  foreign: number;
}

/** One frame that went over the wire: `hex` of its first bytes, and what it is, in words. */
export interface LineFrame {
  at: string;
  sent: boolean;
  hex: string;
  says: string;
}

/** One device's wire. `expected` is the serial number this bed is bound to, `timeouts` the requests without a response since the edge started, `response_s` the time that 95 % of the responses keep to. `unmapped`: what the device sent and its driver makes nothing of, by the protocol's name for it, and how often. `at` is where it is reached, as edge.toml has it; `unsure` why another adapter may be there tomorrow, and what to write, or "". */
export interface LineNow {
  expected: string | null;
  timeouts: number;
  response_s: number | null;
  minutes: LineMinute[];
  frames: LineFrame[];
  unmapped: Record<string, number>;
  at: string;
  unsure: string;
}

/** One device of a bed and its link. `reason` says why the link is as it is. Since the edge started: `frames` good, `bad` ones, responses that came too `late`; and in bytes: `received`, `understood` (in good frames), `dropped`. */
export interface DeviceNow {
  device: string;
  kind: DeviceKind | null;
  driver: string;
  identity: string | null;
  link: LinkState;
  reason: string;
  since: string | null;
  frames: number;
  bad: number;
  late: number;
  received: number;
  understood: number;
  dropped: number;
  line?: LineNow;
  role?: "drug" | "carrier";
  ask?: boolean;
  off_until?: string;
  maintenance?: MaintenanceNow;
  gone_to?: string;
  stops?: boolean;
  alarms: DeviceAlarmNow[];
}

/** What the system asks a person for. */
export interface Request {
  text: string;
  since: string;
}

/** From when to when nobody watched (`from` in JSON): the edge was down (restart), or its machine slept, or its loop stalled. */
export interface Gap {
  from: string;
  to: string;
  why: "restart" | "slept" | "stalled";
}

/** An alarm that is not sounded until then, whether it stands now or not: by whom, and why. `shelf` names it. */
export interface Shelved {
  shelf: string;
  rule: string;
  title: string;
  device: string | null;
  since: string;
  until: string;
  by: string;
  reason: string;
}

/** The last stop of the pump, for an alarm that said `text`. `sent`: and not confirmed yet; `not_sent`: the pump is not connected; `unconfirmed`: the pump has not said in time that it stands still; `confirmed`: it has. */
export interface StopNow {
  state: "sent" | "not_sent" | "unconfirmed" | "confirmed";
  at: string;
  rule: string;
  text: string;
}

/** Whether certain alarms stop this pump: `first` has asked for it and a second person must arm it until `until`; armed, by both; or off, where a stop is still shown. */
export interface InterlockNow {
  device: string;
  state: "asked" | "armed" | "off";
  first: string | null;
  second: string | null;
  since: string | null;
  until: string | null;
  stop: StopNow | null;
}

/** Where an alarm of a metric begins, by the rules in force for this patient: at the first value, as it is shown, that is one. `worse`: 1 where higher is worse, -1 where lower is; `twice`: two blood pressures in a row must be so. `margin`: how far the number was from it when this state was made; 0 or less: it was reached. */
export interface AlarmLimitNow {
  metric: string;
  rule: string;
  title: string;
  priority: Priority;
  at: number;
  worse: 1 | -1;
  twice: boolean;
  margin: number;
}

/** A bed's full state as of event `seq`. Retained by the broker, so a reader must judge `at` before believing it. */
export interface State {
  edge: string;
  bed: string;
  at: string;
  seq: number;
  boot: string;
  simulated: boolean;
  session: SessionNow | null;
  alarms: AlarmNow[];
  devices: DeviceNow[];
  audio_paused_until: string | null;
  request: Request | null;
  gap: Gap | null;
  shelved?: Shelved[];
  delegation?: DelegationNow;
  information?: InformationNow[];
  alarm_limits?: AlarmLimitNow[];
  interlock?: InterlockNow;
}

/** One console as the edge sees it: its acks come or do not, how far it has stored, and since when it is so. */
export interface ConsoleSeen {
  state: "live" | "lost";
  seq: number;
  since: string;
}

/** The edge cannot write its record since then, for `reason`: so many events and inputs are in its memory alone, and `lost_inputs` were judged and not kept. */
export interface StorageNow {
  since: string;
  reason: string;
  events: number;
  inputs: number;
  lost_inputs: number;
}

/** Since then the edge's disk is nearly full: so much of it is used, and at this pace it is full in so many seconds (null: it does not fill). */
export interface SpaceNow {
  since: string;
  used_pct: number;
  full_in_s: number | null;
}

/** Sound at the edge's own box: none is configured (`off`), it is `ready`, or it cannot sound, for `reason`. `priority`: what it sounds now. */
export interface SounderNow {
  state: "off" | "ready" | "failing";
  reason: string;
  priority: Priority;
}

/** Whether heads of the record leave the box (edge.app.anchor): nowhere is named (`off`), the newest delivered is event `seq` (`ready`), or none has been since then (`failing`), for `reason`. */
export interface AnchorNow {
  state: "off" | "ready" | "failing";
  reason: string;
  seq: number;
  since: string | null;
}

/** How edge.toml was last read again while the edge ran: the edge went over to it, and `text` says what changed (`done`); it did, and some of what changed takes a restart (`restart`); or it was refused and nothing changed (`refused`), and `text` is the one line that says why. */
export interface ReloadNow {
  state: "done" | "restart" | "refused";
  at: string;
  text: string;
}

/** A serial port of the box: `port` is the name that stays with it, `what` its adapter, `used_by` the device of edge.toml that is there, as bed/device; "" where none is. */
export interface PortNow {
  port: string;
  what: string;
  used_by: string;
}

/** What a technician had looked up at the box: its serial `ports`, and what is `at` one place. While it is `running`, `says` is whose turn it is; then what was `found` there, with the lines for edge.toml (`toml`), or what the bytes look like (`nothing`). `failed`: it could not be done, and `says` says why. */
export interface ProbeNow {
  state: "listed" | "running" | "found" | "nothing" | "failed";
  since: string;
  by: string;
  ports: PortNow[];
  at: string;
  says: string[];
  toml: string;
}

/** A driver that this edge has: its name for edge.toml, and the devices it is for. */
export interface DriverNow {
  name: string;
  title: string;
}

/** What a technician had looked up of a driver: its wiring card in `lines`, as `vigil devices` prints it; `of` names the driver, or the device that has it as bed/device; "" for the list of all `drivers`. It stays for CARD_S. */
export interface CardNow {
  of: string;
  lines: string[];
  drivers: DriverNow[];
}

/** From `low` to `high`, both allowed. */
export interface Bounds {
  low: number;
  high: number;
}

/** A protocol by which this edge opens sessions, as a form needs it. `limits`: by the argument of start_session. `doses_mg`: what may be ordered where a nurse gives the dose by hand, in devices of `device_mg`; empty where a pump gives it. */
export interface ProtocolNow {
  id: string;
  title: string;
  drug: string;
  route: Route;
  limits: Record<string, Bounds>;
  doses_mg: number[];
  device_mg: number | null;
}

/** Birth, heartbeat and death of an edge. `epoch` is the edge time of this boot's start, from which the edge clock runs `speed` times as fast as real time. `will` is the counter of the last will in force, the only old status to be believed; `other_boots` are boots other than this one that were alive lately under this edge's name: two boxes that call themselves the same. `storage`: null while the record can be written, `space`: while its disk has room. `protocols`: by which it opens sessions, the first by itself. `reload`, `probe`, `card`: null until asked. */
export interface Status {
  edge: string;
  boot: string;
  state: "alive" | "dead";
  at: string;
  version: string;
  config: string;
  beds: string[];
  seq: number;
  speed: number;
  epoch: string;
  simulated: boolean;
  consoles: Record<string, ConsoleSeen>;
  will: number;
  other_boots: string[];
  storage: StorageNow | null;
  space: SpaceNow | null;
  protocols: ProtocolNow[];
  sounder: SounderNow | null;
  anchor: AnchorNow | null;
  reload: ReloadNow | null;
  probe: ProbeNow | null;
  card: CardNow | null;
}

/** One problem document, as it goes over HTTP. A member that says nothing is left out. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  remedy: string;
  where?: string;
  instance?: string;
}

/** One alarm a device itself has. */
export interface DeviceAlarm {
  code: string;
  priority: Priority;
  raw: string;
  text: string;
}

/** An alarm moved from state `was` to `state`. `since`: when it became active; `by`: who acknowledged it. `alarm_phase` says how it moved (IHE ACM words): it started or ended; its level rose (`escalate`, sounds again) or fell (`deescalate`); its words follow the facts (`update`, no sound); it was acknowledged or announced again (`continue`); its latched picture was taken away (`reset`). `phase` is the session's. */
export interface AlarmMoved {
  rule: string;
  alarm: string;
  title: string;
  state: AlarmState;
  was: AlarmState;
  priority: Priority;
  class: AlarmClass;
  device: string | null;
  since: string | null;
  text: string;
  why: string;
  clears: string;
  limit: string;
  evidence: Evidence[];
  by: string | null;
  phase: Phase | null;
  dissociation: Dissociation | null;
  superseded_by?: string;
  command?: string;
  level?: number;
  alarm_phase?: "start" | "continue" | "update" | "escalate" | "deescalate" | "end" | "reset";
}

/** A session was opened on a bed. */
export interface SessionOpened {
  change: "opened";
  phase: Phase;
  order: Order;
  command: string;
  by: string;
  whose?: string;
}

/** The precheck's checklist was confirmed, or taken back. */
export interface ChecklistSet {
  change: "checklist";
  done: boolean;
  command: string;
  by: string;
}

/** The patient took the drug by hand at `given`: so many devices, together `mg`; `delivered_mg` is all since t0. `reason`: of one that came sooner than the protocol has them apart. */
export interface DoseGiven {
  change: "dose";
  devices: number;
  mg: number;
  lots: string[];
  given: string;
  delivered_mg: number;
  command: string;
  by: string;
  reason?: string;
}

/** The order is `order` now, as `prescriber` ordered; it was `was`. */
export interface OrderAmended {
  change: "amended";
  order: Order;
  was: Order;
  prescriber: string;
  reason: string;
  command: string;
  by: string;
}

/** A gate that was open, with what it said, no longer holds the session. */
export interface GateOverridden {
  change: "override";
  gate: string;
  text: string;
  reason: string;
  role: Role;
  command: string;
  by: string;
}

/** The baseline is this one now; it was `was`. */
export interface BaselineSet {
  change: "baseline";
  baseline: Baseline;
  was: Baseline | null;
  reason: string;
  command: string;
  by: string;
}

/** A person has seen that it is so, or not. */
export interface Attested {
  change: "attested";
  what: string;
  so: boolean;
  command: string;
  by: string;
}

/** A person said which of this bed's pumps gives the drug; `was`: which it was until then, if any. */
export interface DrugChannelNamed {
  change: "drug_channel";
  device: string;
  was: string | null;
  reason: string;
  command: string;
  by: string;
}

/** A person asked for a blood pressure now: this cuff is started over the wire. */
export interface CuffAsked {
  change: "measure_bp";
  cuff: string;
  command: string;
  by: string;
}

/** A person asked that certain alarms stop this pump; a second one armed it; or it is armed no longer (`why`). */
export interface InterlockMoved {
  change: "interlock";
  state: "asked" | "armed" | "disarmed";
  device: string;
  why: string;
  command?: string;
  by?: string;
}

/** A stop of this pump, for an alarm that said `text`: it is sent; it could not be, for the pump is not connected; the pump says that it stands still; or the alarm was over before it could be sent. */
export interface PumpStop {
  change: "pump_stop";
  stop: "sent" | "not_sent" | "confirmed" | "withdrawn";
  device: string;
  rule: string;
  alarm: string;
  text: string;
}

/** For this session a limit of this patient is `value` now; it was `was`, and is `usual` for others. */
export interface LimitSet {
  change: "limit";
  limit: string;
  title: string;
  unit: string;
  value: number;
  was: number;
  usual: number;
  reason: string;
  command: string;
  by: string;
}

/** A person holds the treatment (`held`), or lets it go on. */
export interface TreatmentHeld {
  change: "held";
  held: boolean;
  reason: string;
  command: string;
  by: string;
}

/** The session goes on at bed `to`; these devices of this bed are plugged over to it. */
export interface MovedTo {
  change: "moved_to";
  to: string;
  phase: Phase;
  devices: string[];
  delivered_mg: number;
  reason: string;
  command: string;
  by: string;
}

/** The session goes on here, and was at bed `from` until now. `devices` of this bed, each by the name it had there: another one is to be on its line. */
export interface MovedFrom {
  change: "moved_from";
  from: string;
  phase: Phase;
  order: Order;
  baseline: Baseline | null;
  devices: Record<string, string>;
  delivered_mg: number;
  reason: string;
  command: string;
  by: string;
  whose?: string;
}

/** A session was closed, from phase `from`, with these discharge criteria unmet. */
export interface SessionClosed {
  change: "closed";
  phase: Phase;
  from: Phase;
  reason: string;
  unmet: string[];
  delivered_mg: number;
  command: string;
  by: string;
  whose?: string;
}

/** The session is in `phase` now. Where a nurse's command moved it, that is named instead of the figures. */
export interface PhaseMoved {
  phase: Phase;
  why: string;
  delivered_mg?: number;
  baseline?: Baseline | null;
  started?: string | null;
  command?: string;
  by?: string;
}

/** The dissociation period is in `state` now, on this basis. */
export interface DissociationMoved {
  state: Dissociation;
  basis: string;
  command?: string;
  by?: string;
}

/** What the nurse entered; null: not assessed. */
export interface CheckedIn {
  moaas: number | null;
  cadss: number | null;
  anxiety: number | null;
  distress: number | null;
  nausea: number | null;
  symptoms: string[];
  note: string;
  gone?: string[];
  spo2_pct?: number;
  resp_bpm?: number;
  pulse_bpm?: number;
  sbp_mmhg?: number;
  dbp_mmhg?: number;
  command: string;
  by: string;
}

/** The system asks a person for something. */
export interface Requested {
  rule: string;
  text: string;
  why: string;
  evidence: Evidence[];
}

/** Audio is paused until then, or sounds again (null): by a nurse's command, or because of `why`. */
export interface AudioMoved {
  paused_until: string | null;
  why?: string;
  command?: string;
  by?: string;
}

/** A technical alarm is not sounded until then, for the reason `why`; or it came back (null): because of `why`, or by a person (`by`). */
export interface ShelfMoved {
  rule: string;
  title: string;
  device: string | null;
  until: string | null;
  why: string;
  command?: string;
  by?: string;
}

/** Nobody has acknowledged this alarm, and now `who` is told: a role, `box` (the sounder of the box itself), or the person to whom the alarms of the bed are delegated. `next` is told at `next_at`, unless somebody acknowledges it. */
export interface AlarmTold {
  change: "told";
  rule: string;
  alarm: string;
  title: string;
  text: string;
  priority: Priority;
  device: string | null;
  who: string;
  step: number;
  next: string | null;
  next_at: string | null;
}

/** Somebody has said something about an alarm. */
export interface AlarmCommented {
  change: "comment";
  rule: string;
  alarm: string;
  title: string;
  comment: string;
  command: string;
  by: string;
}

/** The alarms of this bed are told to `to` first, a role or a person, until then; or they are not any more (`until` null): because of `why`, or by a person. */
export interface Delegated {
  change: "delegated";
  to: string;
  until: string | null;
  why: string;
  command?: string;
  by?: string;
}

/** An information signal: worth knowing, and no alarm. `alarms`: those that stand acknowledged, of a reminder. */
export interface Informed {
  change: "information";
  what: "reminder" | "infusion_ended" | "delegation";
  text: string;
  alarms: string[];
}

/** A bed refused a command; `reason` begins with its code. */
export interface CommandRefused {
  ok: false;
  verb: string;
  reason: string;
  command: string;
  by: string;
}

/** The link to a device changed, or learned who the device is. */
export interface LinkMoved {
  device: string;
  state: LinkState;
  was: LinkState;
  reason: string;
  identity: string | null;
}

/** All alarms a device itself has now. */
export interface DeviceAlarmsNow {
  device: string;
  alarms: DeviceAlarm[];
}

/** A device is disconnected as planned, until then at the latest. */
export interface DeviceAway {
  device: string;
  until: string;
  reason: string;
  command: string;
  by: string;
}

/** The planned time of a device is over, or it is back (`why`): what is missing of it is missed again. */
export interface DeviceReturned {
  device: string;
  why: string;
  command?: string;
  by?: string;
}

/** A technician works on a device until then at the latest: nothing of it is shown, counted or missed. */
export interface InMaintenance {
  device: string;
  maintenance_until: string;
  reason: string;
  command: string;
  by: string;
}

/** The edge started; nobody watched for `gap_s` before. */
export interface Booted {
  gap_s: number;
  boot: string;
}

/** The edge was there, but judged nothing for `gap_s`: its machine slept, or its loop stalled. Holds begin anew. */
export interface WatchPaused {
  gap_s: number;
  why: "slept" | "stalled";
}

/** Somebody set this machine's clock by `step_s`. The edge clock went on as it was. */
export interface ClockStepped {
  step_s: number;
}

/** A console came or went; it has stored every event up to `seq`. */
export interface ConsoleMoved {
  console: string;
  state: "live" | "lost";
  seq: number;
}

/** The broker is reached, or lost for `reason`. */
export interface BrokerMoved {
  broker: "reached" | "lost";
  reason: string;
}

/** A command was refused before it reached a bed; `more`: as many others since the last event of this sort. */
export interface CommandRejected {
  command: string;
  console: string;
  ok: false;
  reason: string;
  more: number;
}

/** `count` payloads in the name of `rejected_sender` were rejected for `reason` (edge.contract.signing), the first of them on `topic`, since the last event of this sort. */
export interface PayloadsRejected {
  rejected_sender: string;
  topic: string;
  reason: string;
  count: number;
}

/** Another box, or a copy of this one, is alive under this edge's name; its boot is `other_boot`. */
export interface OtherBoxFound {
  other_boot: string;
}

/** The broker does not take so many bytes: event `of_seq` went to the consoles without its body, or (0) a payload on `too_large` not at all. */
export interface PayloadTooLarge {
  too_large: string;
  of_seq: number;
  size: number;
}

/** The record cannot be written, for `reason`. The watch goes on; from here on events are kept in memory and sent marked `unstored`. */
export interface StorageFailing {
  storage: "failing";
  reason: string;
}

/** The record can be written again. What was kept in memory since `since` is stored now, in order: so many `events` and `inputs`. `lost_inputs` more were judged, but not kept: there was no room for them. */
export interface StorageHealed {
  storage: "healed";
  since: string;
  failed_s: number;
  reason: string;
  events: number;
  inputs: number;
  lost_inputs: number;
}

/** The record was damaged and is kept aside whole as `damaged_file`. This one goes on after event `after_seq`, the last that could be believed, and is chained to it. */
export interface RecordBegun {
  storage: "begun";
  damaged_file: string;
  damage: string;
  after_seq: number;
}

/** So much of the journal's disk is used, and (null: it does not fill) at this pace it is full in so many seconds. */
export interface SpaceLow {
  storage: "space_low";
  used_pct: number;
  full_in_s: number | null;
}

/** Event `of_seq` of an earlier boot was not in this record (that boot was ended while its store failed, or the journal was damaged or is an older copy). `console` had stored it, and gave it back: what it said, and the hash and signature by which it is this edge's own. */
export interface EventRecovered {
  storage: "recovered";
  console: string;
  of_seq: number;
  of_boot: string;
  of_at: string;
  of_wall: string;
  of_kind: string;
  of_body: Record<string, unknown>;
  of_prev: string;
  of_hash: string;
  of_sig: string;
}

/** The bodies an event of each kind may have. */
export interface EventBodies {
  alarm: AlarmMoved;
  session: SessionOpened | ChecklistSet | DoseGiven | OrderAmended | GateOverridden | BaselineSet | Attested | DrugChannelNamed | CuffAsked | InterlockMoved | PumpStop | LimitSet | TreatmentHeld | MovedTo | MovedFrom | SessionClosed;
  phase: PhaseMoved;
  dissociation: DissociationMoved;
  check_in: CheckedIn;
  request: Requested;
  audio: AudioMoved;
  shelf: ShelfMoved;
  attention: AlarmTold | AlarmCommented | Delegated | Informed;
  command: CommandRefused;
  link: LinkMoved;
  device: DeviceAlarmsNow | DeviceAway | DeviceReturned | InMaintenance;
  boot: Booted | WatchPaused | ClockStepped;
  stream: ConsoleMoved | BrokerMoved | CommandRejected | PayloadsRejected | OtherBoxFound | PayloadTooLarge;
  journal: StorageFailing | StorageHealed | RecordBegun | SpaceLow | EventRecovered;
}

/** An event as it travels. `late`: it comes from the backlog, and must never sound. `unstored`: the edge cannot write its record now, and has this event in memory alone. `damaged`: its row in the edge's record cannot be believed; number and hashes are all that is known, and `withheld` is the size of what stands there. */
export interface EventOf<K extends EventKind> {
  kind: K;
  body: EventBodies[K];
  seq: number;
  boot: string;
  edge: string;
  bed: string | null;
  session: string | null;
  at: string;
  wall: string;
  late: boolean;
  prev: string;
  hash: string;
  hash_sig: string | null;
  withheld: number;
  unstored: boolean;
  damaged: boolean;
}
export type EdgeEvent = { [K in EventKind]: EventOf<K> }[EventKind];

/** What a form needs to ask for an argument; `min` and `max` are allowed, outside `usual` asks once more. */
export interface Argument { // no `type`: text
  label: string; type?: "number" | "whole" | "words" | "flag"; optional?: boolean;
  min?: number; max?: number; max_length?: number; unit?: string;
  presets?: readonly number[]; usual_min?: number; usual_max?: number; unless?: string;
  choices?: readonly string[];
}

export const CARERS = ["nurse", "prescriber"] as const;
const REASON = {"label": "Reason", "max_length": 200} as const;
const REASON_IF_ANY = {"label": "Reason", "optional": true, "max_length": 200} as const;
const DEVICE = {"label": "Device", "max_length": 64} as const;
export const VERBS = {
  acknowledge: { roles: CARERS, args: {
  } },
  comment: { roles: ["nurse", "prescriber", "technician"], args: {
    comment: {"label": "Comment", "max_length": 500},
  } },
  delegate: { roles: CARERS, args: {
    to: {"label": "To (nurse, prescriber, or a name)", "max_length": 80},
    minutes: {"label": "For", "type": "number", "min": 1, "max": 60, "unit": "min", "presets": [5, 15, 30]},
    reason: REASON,
  } },
  undelegate: { roles: CARERS, args: {
  } },
  shelve: { roles: CARERS, args: {
    minutes: {"label": "For", "type": "number", "min": 1, "max": 30, "unit": "min", "presets": [5, 10, 15]},
    reason: REASON,
  } },
  unshelve: { roles: CARERS, args: {
  } },
  audio_pause: { roles: CARERS, args: {
  } },
  audio_resume: { roles: CARERS, args: {
  } },
  check_in: { roles: CARERS, args: {
    moaas: {"label": "MOAA/S", "type": "whole", "optional": true, "min": 0, "max": 5},
    cadss: {"label": "CADSS", "type": "whole", "optional": true, "min": 0, "max": 92},
    anxiety: {"label": "Anxiety", "type": "whole", "optional": true, "min": 0, "max": 10},
    distress: {"label": "Distress", "type": "whole", "optional": true, "min": 0, "max": 10},
    nausea: {"label": "Nausea", "type": "whole", "optional": true, "min": 0, "max": 10},
    symptoms: {"label": "Symptoms", "type": "words", "optional": true, "max_length": 40},
    gone: {"label": "Symptoms that are gone", "type": "words", "optional": true, "max_length": 40},
    note: {"label": "Note", "optional": true, "max_length": 500},
    spo2_pct: {"label": "SpO₂ read by hand", "type": "whole", "optional": true, "min": 30, "max": 100, "unit": "%"},
    resp_bpm: {"label": "Respiration counted", "type": "whole", "optional": true, "min": 0, "max": 60, "unit": "/min"},
    pulse_bpm: {"label": "Pulse counted", "type": "whole", "optional": true, "min": 0, "max": 300, "unit": "/min"},
    sbp_mmhg: {"label": "Systolic by hand", "type": "whole", "optional": true, "min": 40, "max": 300, "unit": "mmHg"},
    dbp_mmhg: {"label": "Diastolic by hand", "type": "whole", "optional": true, "min": 20, "max": 200, "unit": "mmHg"},
  } },
  start_session: { roles: CARERS, args: {
    weight_kg: {"label": "Weight", "type": "number", "min": 35, "max": 200, "unit": "kg", "unless": "dose_mg"},
    dose_mg_kg: {"label": "Dose", "type": "number", "min": 0.1, "max": 1.0, "unit": "mg/kg", "presets": [0.5, 0.75, 1], "usual_max": 0.75, "unless": "dose_mg"},
    duration_min: {"label": "Duration", "type": "number", "min": 30, "max": 120, "unit": "min", "presets": [40, 60], "usual_min": 40, "unless": "dose_mg"},
    concentration_mg_ml: {"label": "Concentration", "type": "number", "min": 0.2, "max": 10, "unit": "mg/mL", "presets": [0.5, 1, 2], "unless": "dose_mg"},
    dose_mg: {"label": "Dose given by hand", "type": "number", "optional": true, "min": 1, "max": 500, "unit": "mg", "presets": [56, 84]},
    protocol: {"label": "Protocol", "optional": true, "max_length": 64},
    nibp_interval_min: {"label": "Cuff interval", "type": "number", "optional": true, "min": 2, "max": 30, "unit": "min", "presets": [5, 10]},
    age_years: {"label": "Age", "type": "number", "optional": true, "min": 18, "max": 110, "unit": "years"},
    checklist: {"label": "Checklist done", "type": "flag", "optional": true},
    first_session: {"label": "First session of this patient", "type": "flag", "optional": true},
    hypertension: {"label": "Hypertension in the history", "type": "flag", "optional": true},
    whose: {"label": "Whose are the alarms that stand", "optional": true, "max_length": 200},
  } },
  checklist: { roles: CARERS, args: {
    done: {"label": "Done", "type": "flag"},
  } },
  give_dose: { roles: CARERS, args: {
    devices: {"label": "Devices", "type": "whole", "min": 1, "max": 6},
    lots: {"label": "Lot numbers", "type": "words", "optional": true, "max_length": 40},
    minutes_ago: {"label": "Taken so long ago", "type": "number", "optional": true, "min": 0, "max": 60, "unit": "min"},
    reason: REASON_IF_ANY,
  } },
  end_infusion: { roles: CARERS, args: {
    reason: REASON_IF_ANY,
  } },
  close_session: { roles: CARERS, args: {
    reason: REASON_IF_ANY,
    whose: {"label": "Whose are the alarms that stand", "optional": true, "max_length": 200},
  } },
  amend_order: { roles: CARERS, args: {
    reason: REASON,
    prescriber: {"label": "Ordered by", "max_length": 80},
    weight_kg: {"label": "Weight", "type": "number", "optional": true, "min": 35, "max": 200, "unit": "kg"},
    dose_mg_kg: {"label": "Dose", "type": "number", "optional": true, "min": 0.1, "max": 1.0, "unit": "mg/kg", "usual_max": 0.75},
    duration_min: {"label": "Duration", "type": "number", "optional": true, "min": 30, "max": 120, "unit": "min", "usual_min": 40},
    concentration_mg_ml: {"label": "Concentration", "type": "number", "optional": true, "min": 0.2, "max": 10, "unit": "mg/mL"},
    dose_mg: {"label": "Dose given by hand", "type": "number", "optional": true, "min": 1, "max": 500, "unit": "mg"},
    nibp_interval_min: {"label": "Cuff interval", "type": "number", "optional": true, "min": 2, "max": 30, "unit": "min"},
  } },
  override_gate: { roles: CARERS, args: {
    reason: REASON,
    gate: {"label": "Gate", "max_length": 64},
  } },
  rebaseline: { roles: CARERS, args: {
    reason: REASON,
  } },
  attest: { roles: CARERS, args: {
    what: {"label": "What", "choices": ["escort", "oriented", "no_dissociation", "gait", "fluids", "mood"]},
    so: {"label": "It is so", "type": "flag"},
  } },
  device_off: { roles: CARERS, args: {
    reason: REASON,
    device: DEVICE,
    minutes: {"label": "For", "type": "number", "min": 1, "max": 10, "unit": "min", "presets": [5, 10]},
  } },
  device_back: { roles: CARERS, args: {
    device: DEVICE,
  } },
  drug_channel: { roles: CARERS, args: {
    device: {"label": "Pump", "max_length": 64},
    reason: REASON_IF_ANY,
  } },
  measure_bp: { roles: CARERS, args: {
  } },
  dissociation: { roles: CARERS, args: {
    reason: REASON,
    begun: {"label": "It has begun (no: it is over)", "type": "flag"},
  } },
  maintain: { roles: ["technician"], args: {
    device: DEVICE,
    minutes: {"label": "For", "type": "number", "min": 1, "max": 60, "unit": "min", "presets": [10, 30]},
    reason: REASON,
  } },
  maintenance_over: { roles: ["nurse", "prescriber", "technician"], args: {
    device: DEVICE,
  } },
  arm_interlock: { roles: CARERS, args: {
  } },
  disarm_interlock: { roles: CARERS, args: {
    reason: REASON_IF_ANY,
  } },
  set_limit: { roles: ["prescriber"], args: {
    reason: REASON,
    limit: {"label": "Limit", "max_length": 40},
    value: {"label": "Value (none: the usual one)", "type": "number", "optional": true, "min": 0, "max": 1000},
  } },
  hold: { roles: CARERS, args: {
    reason: REASON,
  } },
  unhold: { roles: CARERS, args: {
  } },
  move_session: { roles: CARERS, args: {
    reason: REASON,
    to: {"label": "To bed", "max_length": 32},
    devices: {"label": "Plugged over with the patient", "type": "words", "optional": true, "max_length": 64},
    whose: {"label": "Whose are the alarms that stand there", "optional": true, "max_length": 200},
  } },
} as const satisfies Record<string, { roles: readonly Role[]; args: Record<string, Argument> }>;
export type Verb = keyof typeof VERBS;

/** Of the name that comes with start_session and stays in the console. */
export const MAX_PATIENT_NAME = 80;

export const ROLES: readonly Role[] = ["nurse", "technician", "prescriber", "administrator"];
/** Who manages accounts, and sees and does nothing clinical. */
export const ADMINISTRATOR: Role = "administrator";
/** What a name and a password must be, characters. */
export const ACCOUNT = { name_max: 64, password_min: 10, password_max: 256 } as const;

/** Symptoms that rules know, each in words; a check-in offers them. */
export const SYMPTOMS: Readonly<Record<string, string>> = {"chest_pain": "chest pain", "dyspnoea": "short of breath", "severe_headache": "sudden severe headache", "visual_disturbance": "visual disturbance", "seizure": "seizure", "focal_deficit": "weakness on one side", "suicidal_thoughts": "suicidal thoughts", "agitation": "agitated", "calls_for_help": "calls for help", "dissociation": "dissociation", "dizziness": "dizziness", "vomiting": "vomiting"};

/** What a nurse may attest, each in words. */
export const ATTESTATIONS: Readonly<Record<string, string>> = {"escort": "an adult takes the patient home", "oriented": "oriented to person, place and time", "no_dissociation": "oriented, and no dissociation", "gait": "walks steadily", "fluids": "drinks and keeps it down", "mood": "asked about suicidal thoughts: none"};

/** Metrics of one axis share a scale, `low` to `high`. */
export interface TrendScale { axis: string; low: number; high: number }

/** How a metric is labelled and laid out. `short`: so on the ward. `always`: also before it was measured. */
export interface Metric {
  key: string; label: string; short?: string; unit: string; decimals?: number;
  group: "vital" | "pressure" | "pump" | "none"; always?: boolean; trend?: TrendScale;
}

const SCALES = [{"axis": "%", "low": 70, "high": 100}, {"axis": "/min, mmHg", "low": 30, "high": 210}, {"axis": "/min", "low": 0, "high": 60}, {"axis": "mmHg", "low": 0, "high": 60}, {"axis": "°C", "low": 34, "high": 41}, {"axis": "PI %", "low": 0, "high": 20}] as const;
export const METRIC_ROWS: readonly Metric[] = [
  {"key": "spo2_pct", "label": "SpO₂", "unit": "%", "group": "vital", "always": true, trend: SCALES[0]},
  {"key": "pulse_bpm", "label": "Pulse", "unit": "/min", "group": "vital", "always": true, trend: SCALES[1]},
  {"key": "resp_bpm", "label": "Respiration", "short": "Resp", "unit": "/min", "group": "vital", trend: SCALES[2]},
  {"key": "etco2_mmhg", "label": "etCO₂", "unit": "mmHg", "group": "vital", trend: SCALES[3]},
  {"key": "heart_rate_bpm", "label": "Heart rate", "short": "HR", "unit": "/min", "group": "vital", trend: SCALES[1]},
  {"key": "temp_c", "label": "Temperature", "short": "Temp", "unit": "°C", "decimals": 1, "group": "vital", trend: SCALES[4]},
  {"key": "perfusion_index_pct", "label": "Perfusion index", "short": "PI", "unit": "%", "decimals": 1, "group": "vital", trend: SCALES[5]},
  {"key": "sbp_mmhg", "label": "SBP", "unit": "mmHg", "group": "pressure", "always": true, trend: SCALES[1]},
  {"key": "dbp_mmhg", "label": "DBP", "unit": "mmHg", "group": "pressure", "always": true, trend: SCALES[1]},
  {"key": "map_mmhg", "label": "MAP", "unit": "mmHg", "group": "pressure", trend: SCALES[1]},
  {"key": "nibp_pulse_bpm", "label": "Pulse (cuff)", "unit": "/min", "group": "pressure"},
  {"key": "cuff_pressure_mmhg", "label": "Cuff pressure", "unit": "mmHg", "group": "none"},
  {"key": "rate_ml_h", "label": "Rate", "unit": "mL/h", "decimals": 1, "group": "pump"},
  {"key": "volume_infused_ml", "label": "Infused", "unit": "mL", "decimals": 1, "group": "pump"},
  {"key": "vtbi_ml", "label": "To infuse", "unit": "mL", "decimals": 1, "group": "pump"},
  {"key": "volume_remaining_ml", "label": "Remaining", "unit": "mL", "decimals": 1, "group": "pump"},
  {"key": "time_remaining_s", "label": "Time left", "unit": "s", "group": "pump"},
  {"key": "line_pressure_mmhg", "label": "Line pressure", "unit": "mmHg", "group": "pump"},
  {"key": "syringe_size_ml", "label": "Syringe", "unit": "mL", "group": "pump"},
  {"key": "battery_pct", "label": "Battery", "unit": "%", "group": "none"},
];

/** The alarm tones of IEC 60601-1-8: times in seconds from the burst's start. */
export interface Pulse { start_s: number; duration_s: number; rise_s: number; fall_s: number; gain: number }
export interface Burst { pulses: readonly Pulse[]; length_s: number; silence_s: number }
const pulse = (start_s: number, duration_s: number, rise_s: number, fall_s: number, gain: number): Pulse => ({ start_s, duration_s, rise_s, fall_s, gain });
export const FUNDAMENTAL_HZ = 656;
export const HARMONICS: readonly number[] = [1.0, 0.56, 0.56, 0.56, 0.56];
export const BURSTS: Readonly<Record<"low" | "medium" | "high", Burst>> = { high: { pulses: [pulse(0.0, 0.1932, 0.024, 0.024, 0.3), pulse(0.25, 0.1932, 0.024, 0.024, 0.3), pulse(0.5, 0.1932, 0.024, 0.024, 0.3), pulse(1.0, 0.1932, 0.024, 0.024, 0.3), pulse(1.25, 0.1932, 0.024, 0.024, 0.3), pulse(1.9, 0.1932, 0.024, 0.024, 0.3), pulse(2.15, 0.1932, 0.024, 0.024, 0.3), pulse(2.4, 0.1932, 0.024, 0.024, 0.3), pulse(2.9, 0.1932, 0.024, 0.024, 0.3), pulse(3.15, 0.1932, 0.024, 0.024, 0.3)], length_s: 3.3432, silence_s: 5.0 }, medium: { pulses: [pulse(0.0, 0.2576, 0.032, 0.032, 0.26), pulse(0.4, 0.2576, 0.032, 0.032, 0.26), pulse(0.8, 0.2576, 0.032, 0.032, 0.26)], length_s: 1.0576, silence_s: 10.0 }, low: { pulses: [pulse(0.0, 0.2576, 0.032, 0.032, 0.2), pulse(0.4, 0.2576, 0.032, 0.032, 0.2)], length_s: 0.6576, silence_s: 25.0 } };
/** No alarm: played once. */
export const INFORMATION: Burst = { pulses: [pulse(0.0, 0.644, 0.08, 0.08, 0.12)], length_s: 0.644, silence_s: 0.0 };
