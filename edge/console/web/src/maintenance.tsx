/** A device in maintenance: a technician says so and for how long; nothing of it is shown as a patient's meanwhile. */
import { useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { command } from "./api.ts";
import { VERBS } from "./contract.ts";
import type { Device } from "./feed.ts";
import { TextField } from "./keypad.tsx";
import { kindWord, linkTrouble, refusal, sentence } from "./words.ts";

const { minutes: MINUTES, reason: REASON } = VERBS.maintain.args;
const REASONS = ["Cable or sensor changed", "Test", "Cleaning"] as const;

/** What stands of it, and its end before its time. */
export function InMaintenance({ bed, device }: { bed: string; device: Device }) {
  const [problem, setProblem] = useState<string | null>(null);
  if (device.maintenance === undefined) return null;
  const { until, by, reason } = device.maintenance;
  const end = async (): Promise<void> => {
    const answer = await command(bed, "maintenance_over", { device: device.device });
    setProblem(answer.ok ? null : refusal(answer));
  };
  return (
    <span class="maintenance">⚒ {sentence(kindWord(device))} in maintenance until {clockTime(until)}<small> {by}: {reason}</small>
      <button onClick={() => void end()}>In use again</button>
      {problem !== null && <em role="alert">{problem}</em>}
    </span>
  );
}

/** It is off as planned; or it went to another bed with a patient, or may be another bed's: until a person says that it is
 * back, or whose it is, nothing on its line is this bed's. */
export function GoneAlong({ bed, device }: { bed: string; device: Device }) {
  const [problem, setProblem] = useState<string | null>(null);
  const away = device.gone_to === undefined ? device.off_until === undefined ? null : linkTrouble(device) : `${sentence(kindWord(device))} went to ${sentence(device.gone_to.replaceAll("-", " "))} with its patient`;
  if (away === null && !device.ask) return null;
  const back = async (): Promise<void> => {
    const answer = await command(bed, "device_back", { device: device.device });
    setProblem(answer.ok ? null : refusal(answer));
  };
  return (
    <span class="maintenance">{away ?? <small>{sentence(device.reason)}</small>}
      <button onClick={() => void back()}>{away === null ? "It is this bed’s own" : "It is back"}</button>
      {problem !== null && <em role="alert">{problem}</em>}
    </span>
  );
}

/** For the technician: for how long, and why. One tap on the minutes begins it. */
export function Maintain({ bed, device }: { bed: string; device: Device }) {
  const [open, setOpen] = useState(false);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  if (device.maintenance !== undefined) return null;
  const ready = reason.trim() !== "" && [...reason.trim()].length <= REASON.max_length;
  const begin = async (minutes: number): Promise<void> => {
    const answer = await command(bed, "maintain", { device: device.device, minutes, reason: reason.trim() });
    setProblem(answer.ok ? null : refusal(answer));
    if (answer.ok) setOpen(false);
  };
  if (!open) return <button class="to-wire" aria-expanded={false} onClick={() => setOpen(true)}>Maintenance…</button>;
  return (
    <div class="shelve">
      <div class="presets reasons">
        {REASONS.map((one) => <button key={one} type="button" aria-pressed={reason === one} onClick={() => setReason(one)}>{one}</button>)}
      </div>
      <TextField label="Reason" name="maintenance-reason" text={reason} change={setReason} />
      <div class="presets">
        {MINUTES.presets.map((minutes) => <button key={minutes} type="button" disabled={!ready} onClick={() => void begin(minutes)}>{minutes} min</button>)}
        <button type="button" onClick={() => setOpen(false)}>Back</button>
      </div>
      {problem !== null && <em role="alert">{problem}</em>}
    </div>
  );
}
