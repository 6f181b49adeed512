/** Requests to the console's server. Nothing here throws for what a server or a network may do: the answer says it. */
import { idOf } from "./beds.ts";
import type { Problem, Status } from "./contract.ts";
import { store } from "./state.ts";
import type { Answer, BedState, EdgeEvent, History, Me } from "./feed.ts";

const WAIT_MS = 8000;
const SILENT = "The console does not answer. Try again.";

export interface DevicesOfBed { bed: string; devices: BedState["devices"] }

let csrf = "";
let onLocked: () => void = () => undefined;

/** Calls `told` when the console says that this screen is locked. */
export function whenLocked(told: () => void): void {
  onLocked = told;
}

export function problemWords(body: Partial<Problem> | null): string | null {
  return typeof body?.detail === "string" && typeof body.title === "string" ? [body.detail || body.title, body.remedy].filter(Boolean).join(" ") : null;
}

/** `key`: of beds.ts. */
function bedPath(key: string): string {
  const { edge, bed } = idOf(key);
  return `/api/edges/${encodeURIComponent(edge)}/beds/${encodeURIComponent(bed)}`;
}

export async function request(method: string, path: string, body?: unknown): Promise<Response | null> {
  try {
    return await fetch(path, {
      method, credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(WAIT_MS),
      headers: { Accept: "application/json", "X-CSRF": csrf, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    return null; // no network, or no answer in time: fetch has no other failure
  }
}

export async function read<T>(response: Response | null, any = false): Promise<T | null> {
  if (response === null || !(response.ok || any)) return null;
  return (await response.json().catch(() => null)) as T | null;
}

function remember(me: Me | null): Me | null {
  csrf = me?.csrf ?? "";
  return me;
}

/** Who is signed in; null: nobody; "unreachable": cannot be asked now. */
export async function whoAmI(): Promise<Me | null | "unreachable"> {
  const response = await request("GET", "/api/me");
  if (response?.status === 401 || response?.status === 403) return remember(null);
  const me = await read<Me>(response);
  return me === null ? "unreachable" : remember(me);
}

export async function login(name: string, password: string): Promise<Me | string> {
  const response = await request("POST", "/api/login", { name, password });
  if (response?.status === 503) return problemWords(await read(response, true)) ?? "The console has a fault. Try again.";
  const me = await read<Me>(response);
  if (me !== null) return remember(me) as Me;
  if (response === null) return SILENT;
  if (response.status === 429) return "Too many tries. Wait a minute.";
  return response.status < 500 ? "Name or password is wrong." : "The console has a fault. Try again.";
}

export async function logout(): Promise<void> {
  await request("POST", "/api/logout");
  remember(null);
}

/** More time for the sign-in; null: not now. */
export async function renewal(): Promise<Me | null> {
  const me = await read<Me>(await request("POST", "/api/renew"));
  return me === null ? null : remember(me);
}

export async function unlock(password: string): Promise<Me | string> {
  const response = await request("POST", "/api/unlock", { password });
  const me = await read<Me>(response);
  if (me !== null) return remember(me) as Me;
  if (response === null) return SILENT;
  return response.status === 429 ? "Too many tries. Wait a minute." : "The password is wrong.";
}

const underway = new Map<string, Promise<Answer>>(); // what has no answer yet

/** A second Enter while the first is on its way is the same one. */
export function command(bed: string, verb: string, args: Record<string, unknown> = {}): Promise<Answer> {
  const key = JSON.stringify([bed, verb, args]);
  const answer = underway.get(key) ?? send(bed, verb, args).finally(() => underway.delete(key));
  underway.set(key, answer);
  return answer;
}

async function send(bed: string, verb: string, args: Record<string, unknown>): Promise<Answer> {
  const response = await request("POST", `${bedPath(bed)}/commands`, { verb, args, session: store.states.get(bed)?.session?.id });
  if (response === null) return { ok: false, status: 0, reason: "no_answer" };
  const body = (await response.json().catch(() => null)) as Partial<Answer & Problem> | null;
  const reason = typeof body?.reason === "string" ? body.reason : null;
  if (response.status === 401 && body?.type?.endsWith("locked") === true) onLocked();
  return { ok: response.ok && body?.ok === true, status: response.status, reason, problem: problemWords(body), state: body?.state };
}

/** What can be done to a simulated device or patient; the simulators say what they do not know. */
export interface Hand {
  bed: string; device: string; do: string; amount?: number; over_s?: number; rate_ml_h?: number; vtbi_ml?: number;
}
export interface SimulatedDevice {
  device: string; driver: string; unplugged: boolean; hands: string[]; display: Record<string, number | string | boolean | null>;
}
export interface SimulatedBed {
  edge: string; bed: string; episodes: Record<string, number>; by_hand: boolean; devices: SimulatedDevice[];
}
export interface DemoLogin { name: string; password: string; role: string }

/** Every simulated bed as it is this second; null: they do not answer. */
export async function simulatedBeds(): Promise<SimulatedBed[] | null> {
  return read<SimulatedBed[]>(await request("GET", "/api/simulation"));
}

/** Does it; null: done, else why not. */
export async function hand(edge: string, asked: Hand): Promise<string | null> {
  const response = await request("POST", `/api/simulation/${encodeURIComponent(edge)}`, asked);
  if (response?.ok === true) return null;
  const problem = await response?.json().catch(() => null) as { detail?: string } | null | undefined;
  return problem?.detail ?? SILENT;
}

/** For the technician: begun, or why it is not. */
export async function askBox(edge: string, verb: "look_at_ports" | "probe_port" | "show_driver" | "read_again", args?: { at: string } | { of: string }): Promise<string | null> {
  const response = await request("POST", `/api/edges/${encodeURIComponent(edge)}/box`, { verb, ...args });
  return response?.ok === true ? null : problemWords(await read(response, true)) ?? SILENT;
}

/** Each edge's last status. */
export async function statuses(): Promise<readonly { edge: string; ok: boolean; status: Status | null }[]> {
  return (await read<{ edges: { edge: string; ok: boolean; status: Status | null }[] }>(await request("GET", "/api/devices")))?.edges ?? [];
}

/** What of one user the broker refused, how often, and what to do about it. */
export interface RefusedNow {
  why: string; user: string | null; client: string; what: string; count: number; first: string; last: string; remedy: string;
}
/** `told` false: this broker tells nothing of it. */
export interface RefusedByBroker { told: boolean; since: string | null; refused: readonly RefusedNow[]; more: number }

/** For a technician; null: not known now. */
export async function refusedByBroker(): Promise<RefusedByBroker | null> {
  return (await read<{ broker: RefusedByBroker | null }>(await request("GET", "/api/devices")))?.broker ?? null;
}

/** The accounts of a demonstration; none at any other console. */
export async function demoLogins(): Promise<DemoLogin[]> {
  return (await read<DemoLogin[]>(await request("GET", "/api/simulation/logins"))) ?? [];
}

export async function history(bed: string, minutes: number, metrics: readonly string[]): Promise<History | null> {
  const query = `minutes=${minutes}&metrics=${metrics.join(",")}`;
  return read<History>(await request("GET", `${bedPath(bed)}/history?${query}`));
}

export async function events(bed: string): Promise<EdgeEvent[] | null> {
  return read<EdgeEvent[]>(await request("GET", `${bedPath(bed)}/events?limit=200`));
}
