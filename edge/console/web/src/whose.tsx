/** Alarms of high priority that stand as a session begins or ends: a person says whose they are, and what was done. */
import { VERBS } from "./contract.ts";
import type { Alarm } from "./feed.ts";
import { TextField } from "./keypad.tsx";
import { store } from "./state.ts";
import { SYMBOL } from "./words.ts";

const WHOSE = VERBS.close_session.args.whose;
const WORDS = ["This patient's, handed over", "This patient's, over now", "The sensor's, nobody wears it"] as const;

/** The patient's alarms of high priority that stand on this bed. */
export function highOf(bed: string): Alarm[] {
  return (store.states.get(bed)?.alarms ?? []).filter(
    (alarm) => alarm.priority === "high" && alarm.class !== "technical" && (alarm.state === "active" || alarm.state === "acknowledged"));
}

/** Whether enough is said for these alarms. */
export function isSaid(high: readonly Alarm[], whose: string): boolean {
  const length = [...whose.trim()].length;
  return length <= WHOSE.max_length && (high.length === 0 || length > 0);
}

export function Whose({ high, whose, change }: { high: readonly Alarm[]; whose: string; change: (whose: string) => void }) {
  if (high.length === 0) return null;
  return (
    <div class="whose">
      {high.map((alarm) => <p key={alarm.alarm} class="caution">{SYMBOL.high} {alarm.text || alarm.title}</p>)}
      <div class="presets reasons">
        {WORDS.map((one) => <button key={one} type="button" aria-pressed={whose === one} onClick={() => change(one)}>{one}</button>)}
      </div>
      <TextField label={`${WHOSE.label}, and what was done`} name="whose" text={whose} change={change} />
    </div>
  );
}
