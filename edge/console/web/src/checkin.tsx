/** The check-in: tap grids that open empty. What is not tapped is "not assessed", and is sent as that. */
import { useState } from "preact/hooks";
import { command } from "./api.ts";
import { SYMPTOMS, VERBS } from "./contract.ts";
import { useDraft } from "./drafts.ts";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import { readScore } from "./typed.ts";
import type { Session } from "./feed.ts";
import { bpWords, enteredWords, refusal, sentence, symptom } from "./words.ts";

const MOAAS = [
  [5, "answers readily to name"], [4, "slow answer to name"], [3, "only when called loudly"], [2, "only when shaken"],
  [1, "only to pain"], [0, "no answer"],
] as const;
const LIMITS = VERBS.check_in.args;
const SCALES = ["anxiety", "distress", "nausea"] as const;
const READ = ["spo2_pct", "resp_bpm", "sbp_mmhg", "dbp_mmhg", "pulse_bpm"] as const; // what is read or counted, each as typed
const CADSS_MOST = LIMITS.cadss.max;
const NOTE_MOST = LIMITS.note.max_length;

interface Draft {
  moaas: number | null; anxiety: number | null; distress: number | null; nausea: number | null;
  cadss: string; read: Partial<Record<(typeof READ)[number], string>>; // as typed: what is no number is told, not made into one
  symptoms: string[]; gone: string[]; note: string;
}
const EMPTY: Draft = { moaas: null, cadss: "", read: {}, anxiety: null, distress: null, nausea: null, symptoms: [], gone: [], note: "" };

export function CheckIn({ bed, session, close }: { bed: string; session: Session; close: () => void }) {
  const [draft, change, forget] = useDraft<Draft>(`check-in ${session.id}`, EMPTY);
  const patient = store.states.get(bed)?.patient ?? null;
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const cadss = readScore(draft.cadss, CADSS_MOST);
  const read = READ.map((key) => ({ key, found: readScore(draft.read[key] ?? "", LIMITS[key].max, LIMITS[key].min) }));
  const said: Partial<Record<(typeof READ)[number], string | null>> = { spo2_pct: enteredWords(session.spo2_entered) ?? "read elsewhere: it is judged, and never shown as live", sbp_mmhg: bpWords(session.bp_entered) };
  const half = (read[2]?.found.value === null) !== (read[3]?.found.value === null); // a blood pressure is two numbers
  const scores = [draft.moaas, cadss.value, draft.anxiety, draft.distress, draft.nausea];
  const assessed = scores.filter((score) => score !== null).length;
  const noteLength = [...draft.note].length; // characters, as the console counts them
  const empty = assessed === 0 && read.every(({ found }) => found.value === null) && draft.symptoms.length === 0 && draft.gone.length === 0 && draft.note.trim() === "";
  const save = async (): Promise<void> => {
    setSending(true);
    const { gone, read: _, ...rest } = draft;
    const measured = Object.fromEntries(read.filter(({ found }) => found.value !== null).map(({ key, found }) => [key, found.value]));
    const answer = await command(bed, "check_in", { ...rest, cadss: cadss.value, ...measured, ...(gone.length > 0 && { gone }) });
    setSending(false);
    if (!answer.ok) return setProblem(refusal(answer));
    forget();
    close();
  };
  return (
    <Sheet title={`Check-in, ${store.label(bed)}${patient === null ? "" : `, ${patient}`}`} close={close} foot={
      <>
        <span>{assessed} of 5 assessed{assessed < 5 && ", the rest is saved as not assessed"}. Kept until saved.</span>
        {problem !== null && <em role="alert">{problem}</em>}
        <button class="go" disabled={sending || empty || cadss.wrong || read.some(({ found }) => found.wrong) || half || noteLength > NOTE_MOST} onClick={() => void save()}>{sending ? "Saving" : "Save check-in"}</button>
      </>
    }>
      <Scale name="moaas" label="MOAA/S" help="say the name" value={draft.moaas} choose={(moaas) => change({ moaas })} options={MOAAS} />
      {SCALES.map((key) => (
        <Scale key={key} name={key} label={LIMITS[key].label} help={`${LIMITS[key].max} worst`} value={draft[key]} choose={(value) => change({ [key]: value })} options={Array.from({ length: LIMITS[key].max + 1 }, (_, score) => [score, ""] as const)} />
      ))}
      <Typed name="cadss" label="CADSS total" help={`0 to ${CADSS_MOST}`} empty="not assessed" typed={draft.cadss} type={(typed) => change({ cadss: typed })}
        wrong={cadss.wrong ? `CADSS total: a whole number from 0 to ${CADSS_MOST}` : ""} />
      {read.map(({ key, found }) => (
        <Typed key={key} name={key} label={`${LIMITS[key].label}, ${LIMITS[key].unit}`} help={said[key] ?? ""} empty="not measured" typed={draft.read[key] ?? ""} type={(typed) => change({ read: { ...draft.read, [key]: typed } })}
          wrong={found.wrong ? `${LIMITS[key].label}: a whole number from ${LIMITS[key].min} to ${LIMITS[key].max}` : half && key === "dbp_mmhg" ? "A blood pressure is two numbers" : ""} />
      ))}
      <Ticks name="symptoms" label="Symptoms" rows={Object.entries(SYMPTOMS)} ticked={draft.symptoms}
        change={(symptoms) => change({ symptoms, gone: draft.gone.filter((one) => !symptoms.includes(one)) })} />
      {session.symptoms.length > 0 && (
        <Ticks name="gone" label="Entered before" rows={session.symptoms.map((key) => [key, `${symptom(key)}: gone now`] as const)} ticked={draft.gone}
          change={(gone) => change({ gone, symptoms: draft.symptoms.filter((one) => !gone.includes(one)) })} />
      )}
      <label class="scale note">
        <b>Note<small> up to {NOTE_MOST} characters</small></b>
        <textarea rows={2} value={draft.note} onInput={(event) => change({ note: event.currentTarget.value })} />
        {noteLength > NOTE_MOST && <em role="alert">{noteLength} characters: {noteLength - NOTE_MOST} too many</em>}
      </label>
    </Sheet>
  );
}

function Typed(props: { name: string; label: string; help: string; empty: string; typed: string; type: (typed: string) => void; wrong: string }) {
  return (
    <div class="scale cadss">
      <b>{props.label}<small> {props.help}</small></b>
      <input name={props.name} aria-label={props.label} inputMode="numeric" autoComplete="off" placeholder={props.empty} value={props.typed} onInput={(event) => props.type(event.currentTarget.value)} />
      {props.wrong !== "" && <em role="alert">{props.wrong}</em>}
    </div>
  );
}

function Ticks(props: {
  name: string; label: string; rows: readonly (readonly [string, string])[]; ticked: string[]; change: (ticked: string[]) => void;
}) {
  const { ticked } = props;
  return (
    <div class="scale symptoms" role="group" aria-label={props.label} data-ticks={props.name}>
      <b>{props.label}<small> {ticked.length === 0 ? "none ticked" : `${ticked.length} ticked`}</small></b>
      <span class="taps">
        {props.rows.map(([key, label]) => {
          const on = ticked.includes(key);
          const next = on ? ticked.filter((one) => one !== key) : [...ticked, key];
          return <button key={key} type="button" aria-pressed={on} onClick={() => props.change(next)}>{on ? "☑ " : "☐ "}{sentence(label)}</button>;
        })}
      </span>
    </div>
  );
}

function Scale(props: {
  name: string; label: string; help: string; value: number | null; choose: (value: number | null) => void;
  options: readonly (readonly [number, string])[];
}) {
  return (
    <div class="scale" role="group" aria-label={props.label} data-scale={props.name}>
      <b>{props.label} <i>{props.help}</i><small> {props.value === null ? "not assessed" : `${props.value}, tap again to clear`}</small></b>
      <span class={`taps of-${props.options.length}`}>
        {props.options.map(([score, words]) => (
          <button key={score} type="button" aria-pressed={props.value === score} onClick={() => props.choose(props.value === score ? null : score)}>
            {score}{words !== "" && <small>{words}</small>}
          </button>
        ))}
      </span>
    </div>
  );
}
