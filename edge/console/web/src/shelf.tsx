/** Shelved alarms: equipment that a nurse knows about is not sounded for a while. They stay in sight, and come back by themselves. */
import { useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { command } from "./api.ts";
import { VERBS } from "./contract.ts";
import { TextField } from "./keypad.tsx";
import { isPaused } from "./rank.ts";
import { store } from "./state.ts";
import type { Alarm, BedState } from "./feed.ts";
import { refusal } from "./words.ts";

const { minutes: MINUTES, reason: REASON } = VERBS.shelve.args;
const REASONS = ["Sensor taken off on purpose", "Device being changed", "Being repaired"] as const;

export function isShelved(bed: string, alarm: Alarm): boolean {
  return isPaused(alarm.shelved_until ?? null, store.edge_ms(bed));
}

/** Under an alarm's meaning: for how long, and why. One tap on the minutes shelves it. */
export function Shelve({ bed, alarm }: { bed: string; alarm: Alarm }) {
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const shelve = async (minutes: number): Promise<void> => {
    const answer = await command(bed, "shelve", { alarm: alarm.alarm, seq: alarm.seq, minutes, reason: reason.trim() });
    setProblem(answer.ok ? null : refusal(answer));
  };
  const ready = reason.trim() !== "" && [...reason.trim()].length <= REASON.max_length;
  return (
    <div class="shelve">
      <h4>No sound for a while</h4>
      <div class="presets reasons">
        {REASONS.map((one) => <button key={one} type="button" aria-pressed={reason === one} onClick={() => setReason(one)}>{one}</button>)}
      </div>
      <TextField label="Reason" name="shelve-reason" text={reason} change={setReason} />
      <div class="presets">
        {MINUTES.presets.map((minutes) => <button key={minutes} type="button" disabled={!ready} onClick={() => void shelve(minutes)}>Shelve {minutes} min</button>)}
      </div>
      <p class="help">{ready ? "It stays on the screen, and sounds again by itself." : `Choose or write a reason, at most ${REASON.max_length} characters.`}</p>
      {problem !== null && <em role="alert">{problem}</em>}
    </div>
  );
}

/** What is shelved on this bed, whether it stands now or not. */
export function ShelvedList({ bed, shelved }: { bed: string; shelved: NonNullable<BedState["shelved"]> }) {
  const [problem, setProblem] = useState<string | null>(null);
  const end = async (shelf: string): Promise<void> => {
    const answer = await command(bed, "unshelve", { shelf });
    setProblem(answer.ok ? null : refusal(answer));
  };
  if (shelved.length === 0) return null;
  return (
    <>
      <h3>No sound for now</h3>
      {shelved.map((one) => (
        <p key={one.shelf} class="shelved">
          <span>‖ {one.title}{one.device !== null && `, ${one.device}`}<small>until {clockTime(one.until)}, {one.by}: {one.reason}</small></span>
          <button onClick={() => void end(one.shelf)}>Sound again</button>
        </p>
      ))}
      {problem !== null && <em role="alert">{problem}</em>}
    </>
  );
}
