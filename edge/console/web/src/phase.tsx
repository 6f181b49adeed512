/** Where a session stands, in one line: the phase with its minutes, and the dissociation period as a band beside it. */
import { clockTime } from "./age.ts";
import { keyOf } from "./beds.ts";
import { store } from "./state.ts";
import type { BedState, Session } from "./feed.ts";
import { DISSOCIATION, phaseName } from "./words.ts";

function minutes(seconds: number | null): number | null {
  return seconds === null ? null : Math.max(0, Math.floor(seconds / 60));
}

/** Minutes infused: counted on from the last state while the infusion runs and the feed is live. */
export function infusedMinutes(session: Session, state: BedState, live: boolean): number | null {
  if (session.infused_s === null) return minutes(store.since_s(session.infusion_started, keyOf(state)));
  const since_s = live && session.phase === "INFUSING" ? store.since_s(state.at, keyOf(state)) ?? 0 : 0;
  return minutes(session.infused_s + Math.max(0, since_s));
}

export function phaseWords(state: BedState, live: boolean): string {
  const session = state.session;
  if (session === null || session.phase === "CLOSED") return "No session";
  const words = session.held ? `HELD, ${phaseName(session.phase, session).toLowerCase()}` : phaseName(session.phase, session);
  if (session.phase === "INFUSING" || session.phase === "PAUSED") {
    const infused = infusedMinutes(session, state, live);
    const planned = session.order?.duration_min ?? null;
    return `${words} ${infused ?? "--"} min${planned === null ? "" : ` of ${planned}`}`;
  }
  const since = (session.phase === "RECOVERY" ? session.infusion_ended : null) ?? session.phase_since; // recovery counts from the end of the dose
  const inPhase = live ? minutes(store.since_s(since, keyOf(state))) : null;
  return inPhase === null ? words : `${words} ${inPhase} min`;
}

export function Band({ session }: { session: Session | null }) {
  const words = session === null ? undefined : DISSOCIATION[session.dissociation_state ?? ""];
  if (words === undefined && session?.dissociation !== "open") return null;
  return (
    <span class={`band ${session?.dissociation_state ?? "open"}`}>
      <span aria-hidden="true">◐</span><span class="words"> {words ?? "Dissociation period"}</span>
      {session?.dissociation_since && <small> since {clockTime(session.dissociation_since)}</small>}
    </span>
  );
}
