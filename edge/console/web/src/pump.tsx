/** What the pump says of itself: state or its own alarm, rate, and what is in. Of a dose by hand: what is in. */
import { ageOf, ageWords, type Context, pumpIsLive } from "./age.ts";
import { plain } from "./dose.ts";
import { shown } from "./numbers.tsx";
import type { BedVitals } from "./state.ts";
import type { Device, Session } from "./feed.ts";
import { byHand, deviceSays, number, PUMP } from "./words.ts";

interface Shown { vitals: BedVitals | undefined; context: Context; session: Session | null; devices: readonly Device[] }

/** The pump's own alarm in its own words; null: it has none. */
export function pumpSays(vitals: BedVitals | undefined, devices: readonly Device[]): string | null {
  const pump = vitals?.pump?.latest;
  const device = devices.find((one) => (pump === undefined ? one.kind === "pump" : one.device === pump.device));
  return deviceSays(device, pump?.state === "alarm", "pump");
}

export function PumpLine({ vitals, context, session, devices }: Shown) {
  const pump = vitals?.pump ?? null;
  const mg = session?.dose_mg ?? null;
  const says = pumpSays(vitals, devices);
  const ordered = session?.order?.dose_mg ?? null;
  const dose = mg !== null && <span class={`part ${context.live ? "live" : "old"}`}><i>{plain(mg)}</i>{ordered !== null && ` of ${plain(ordered)}`} mg</span>;
  if (byHand(session)) return <div class="pump"><b>By hand</b>{says !== null && <b class="says">{says}</b>}{dose}</div>;
  if (pump === null) return <div class="pump none" data-standing="none"><b>Pump</b> <span>no data yet</span></div>;
  const live = pumpIsLive(pump, context);
  const rate = shown("rate_ml_h", vitals, context);
  const volume = shown("volume_infused_ml", vitals, context);
  return (
    <div class={live ? "pump live" : "pump old"} data-standing={live ? "live" : "old"}>
      {(says === null || pump.latest.state !== "alarm") && <b>{PUMP[pump.latest.state]}</b>}
      {says !== null && <b class="says">{says}</b>}
      {!live && <em>old: {ageWords(ageOf(pump, context.now_ms, context.speed), false)}</em>}
      <span class={`part ${rate.standing}`}><i>{number(rate.value, 1)}</i> mL/h</span>
      <span class={`part ${volume.standing}`}><i>{number(volume.value, 1)}</i> mL</span>
      {dose}
    </div>
  );
}
