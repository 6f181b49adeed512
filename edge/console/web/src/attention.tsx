/** Attention to one alarm: who was told and who is next, what was said about it; whose a bed's alarms are; what is said for information. */
import { useState } from "preact/hooks";
import { clockTime, stopwatch } from "./age.ts";
import { command } from "./api.ts";
import { VERBS } from "./contract.ts";
import { useDraft } from "./drafts.ts";
import { TextField } from "./keypad.tsx";
import { store } from "./state.ts";
import type { Alarm, BedState } from "./feed.ts";
import { refusal, toldWords, whoWords } from "./words.ts";

const COMMENT = VERBS.comment.args.comment;

/** Who was told of an alarm that nobody has acknowledged, and who is next, and when. */
export function Told({ bed, alarm }: { bed: string; alarm: Alarm }) {
  if (alarm.told === undefined && alarm.next_told === undefined) return null;
  const left_s = store.since_s(alarm.next_told?.at, bed);
  return (
    <p class="told">
      {toldWords(alarm.told ?? [])}
      {alarm.next_told !== undefined && <b> Next: {whoWords(alarm.next_told.who)} {left_s === null || left_s >= 0 ? "now" : `in ${stopwatch(-left_s)}`}</b>}
    </p>
  );
}

export function Comments({ alarm }: { alarm: Alarm }) {
  return <>{(alarm.comments ?? []).map((one) => <p key={one.at + one.text} class="comment">“{one.text}” <small>{one.by}, {clockTime(one.at)}</small></p>)}</>;
}

/** Under an alarm's meaning: a line about it, for whoever comes next. */
export function CommentForm({ bed, alarm }: { bed: string; alarm: Alarm }) {
  const [{ text }, change, forget] = useDraft(bed + alarm.alarm + alarm.since, { text: "" });
  const [problem, setProblem] = useState<string | null>(null);
  const length = [...text.trim()].length;
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const answer = await command(bed, "comment", { alarm: alarm.alarm, comment: text.trim() });
    setProblem(answer.ok ? null : refusal(answer));
    if (answer.ok) forget();
  };
  return (
    <form class="comment-form" onSubmit={(event) => void send(event)}>
      <TextField label="Comment" name="comment" text={text} change={(typed) => change({ text: typed })} />
      <button disabled={length === 0 || length > COMMENT.max_length}>{length > COMMENT.max_length ? `At most ${COMMENT.max_length} characters` : "Add comment"}</button>
      {problem !== null && <em role="alert">{problem}</em>}
    </form>
  );
}

/** To whom the alarms of this bed are told first, and until when. */
export function DelegationLine({ bed, delegation }: { bed: string; delegation: BedState["delegation"] }) {
  const [problem, setProblem] = useState<string | null>(null);
  if (delegation === undefined) return null;
  const end = async (): Promise<void> => {
    const answer = await command(bed, "undelegate");
    setProblem(answer.ok ? null : refusal(answer));
  };
  return (
    <p class="shelved delegated">
      <span>Alarms go to {whoWords(delegation.to)} first<small>until {clockTime(delegation.until)}, {delegation.by}: {delegation.reason}</small></span>
      <button onClick={() => void end()}>Take back</button>
      {problem !== null && <em role="alert">{problem}</em>}
    </p>
  );
}

/** The newest of what is said for information, over all beds: one line in the rail. It is no alarm, and has no alarm's colour. */
export function InformationLine() {
  const all = store.information();
  const newest = all[0];
  if (newest === undefined) return null;
  return (
    <p class="information" role="status" aria-live="polite">
      <b>ℹ {store.label(newest.bed)}</b> {newest.said.text} <small>{clockTime(newest.said.at)}{all.length > 1 && `, +${all.length - 1} more`}</small>
    </p>
  );
}
