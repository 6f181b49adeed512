/** What the pump says of itself: state, rate, and what is in. */
import { ageOf, type Context, pumpIsLive, stopwatch } from "./age.ts";
import { plain } from "./dose.ts";
import { shown } from "./numbers.tsx";
import type { BedVitals } from "./state.ts";
import type { Session } from "./types.ts";
import { number, PUMP } from "./words.ts";

export function PumpLine({ vitals, context, session }: { vitals: BedVitals | undefined; context: Context; session: Session | null }) {
  const pump = vitals?.pump ?? null;
  if (pump === null) return <div class="pump none" data-standing="none"><b>Pump</b> <span>no data yet</span></div>;
  const live = pumpIsLive(pump, context);
  const rate = shown("rate_ml_h", vitals, context);
  const volume = shown("volume_infused_ml", vitals, context);
  const mg = session?.dose_mg ?? null;
  const ordered = session?.order?.dose_mg ?? null;
  return (
    <div class={live ? "pump live" : "pump old"} data-standing={live ? "live" : "old"}>
      <b>{PUMP[pump.told.state]}</b>
      {!live && <em>old: {stopwatch(ageOf(pump, context.now_ms, context.speed))}</em>}
      <span class={`part ${rate.standing}`}><i>{number(rate.value, 1)}</i> mL/h</span>
      <span class={`part ${volume.standing}`}><i>{number(volume.value, 1)}</i> mL</span>
      {mg !== null && <span class={`part ${context.live ? "live" : "old"}`}><i>{plain(mg)}</i>{ordered !== null && ` of ${plain(ordered)}`} mg</span>}
    </div>
  );
}
