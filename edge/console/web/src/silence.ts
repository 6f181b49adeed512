/** An alarm that stands because nothing is heard any more says so, and since when. */
import { clockTime, stopwatch } from "./age.ts";
import { shown } from "./numbers.tsx";
import { store } from "./state.ts";
import type { Alarm } from "./feed.ts";
import { labelOf } from "./vocabulary.ts";

function unheard(alarm: Alarm): string {
  const since = alarm.no_data_since === undefined ? "" : ` since ${clockTime(alarm.no_data_since)}`;
  return `Nothing is heard${since} that could end this alarm`;
}

/** Which of the numbers an alarm rests on are no longer live, and for how long; null: all of them are. */
export function silence(bed: string, alarm: Alarm): string | null {
  if (alarm.class === "technical" || alarm.state === "latched") return null;
  const context = store.context(bed);
  const lost = [...new Set(alarm.evidence.map(({ metric }) => metric))].flatMap((metric) => {
    const figure = shown(metric, store.vitals.get(bed), context);
    return figure.standing === "old" || figure.standing === "absent" ? [{ metric, age_s: figure.age_s }] : [];
  });
  if (lost.length === 0) return alarm.no_data ? unheard(alarm) : null;
  const names = lost.map(({ metric }) => labelOf(metric)).join(", ");
  return `No ${names} heard for ${stopwatch(Math.max(...lost.map(({ age_s }) => age_s)))}: the alarm stands on what was heard before`;
}
