/** Opening a session: the order entered, then read back in mg, mL and mL/h before it is confirmed. */
import { useState } from "preact/hooks";
import { command } from "./api.ts";
import { cautions, EMPTY_ORDER, FIELDS, type Order, type OrderDraft, plain, problems, readOrder, total } from "./dose.ts";
import { useDraft } from "./drafts.ts";
import { NumberFields } from "./keypad.tsx";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import { refusal } from "./words.ts";

export function StartSession({ bed, close }: { bed: string; close: () => void }) {
  const [draft, change, forget] = useDraft<OrderDraft>(`start ${bed}`, EMPTY_ORDER);
  const [reading, setReading] = useState(false);
  const wrong = problems(draft);
  const order = readOrder(draft);
  if (reading && wrong.length === 0) {
    return <ReadBack bed={bed} order={order} back={() => setReading(false)} close={close} forget={forget} />;
  }
  return (
    <Sheet title={`Start session, ${store.label(bed)}: racemic ketamine, intravenous`} close={close} foot={
      <>
        <span>{wrong.length > 0 ? list(wrong) : <Echo order={order} />}</span>
        <button class="go" disabled={wrong.length > 0} onClick={() => setReading(true)}>Read back</button>
      </>
    }>
      <label class="patient-field"><span>Patient</span>
        <input name="patient" autoComplete="off" placeholder="not entered" value={draft.patient} onInput={(event) => change({ patient: event.currentTarget.value })} />
      </label>
      <NumberFields fields={FIELDS} texts={draft} change={(key, text) => change({ [key]: text })} />
    </Sheet>
  );
}

/** What is missing in one phrase, what is wrong in full. */
function list(wrong: string[]): string {
  const missing = wrong.filter((one) => one.endsWith(" is missing")).map((one) => one.replace(" is missing", "").toLowerCase());
  const rest = wrong.filter((one) => !one.endsWith(" is missing"));
  return [...rest, ...(missing.length > 0 ? [`Missing: ${missing.join(", ")}`] : [])].join(". ");
}

function Echo({ order }: { order: Order }) {
  const sum = total(order);
  if (sum === null) return null;
  return <b>{plain(sum.dose_mg)} mg in {plain(sum.volume_ml)} mL, {plain(sum.rate_ml_h)} mL/h</b>;
}

function ReadBack(props: { bed: string; order: Order; back: () => void; close: () => void; forget: () => void }) {
  const { order } = props;
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const sum = total(order);
  const confirm = async (): Promise<void> => {
    setSending(true);
    const answer = await command(props.bed, "start_session", { ...order, protocol: "iv_racemic_40", checklist: false });
    setSending(false);
    if (!answer.ok) return setProblem(refusal(answer));
    props.forget();
    props.close();
  };
  return (
    <Sheet title={`Read back, ${store.label(props.bed)}`} close={props.close} foot={
      <>
        {problem !== null && <em role="alert">{problem}</em>}
        <button onClick={props.back}>Back, change it</button>
        <button class="go" disabled={sending} onClick={() => void confirm()}>{sending ? "Sending" : "Confirm and start session"}</button>
      </>
    }>
      <div class="read-back">
        <p>{order.patient}</p>
        <p>{order.weight_kg} kg × {order.dose_mg_kg} mg/kg =</p>
        <p class="big">{plain(sum?.dose_mg ?? 0)} mg ketamine</p>
        <p class="big">{plain(sum?.volume_ml ?? 0)} mL <small>at {order.concentration_mg_ml} mg/mL</small></p>
        <p class="big">{plain(sum?.rate_ml_h ?? 0)} mL/h <small>for {order.duration_min} min</small></p>
        <p>Cuff every {order.nibp_interval_min} min. Age {order.age_years ?? "not recorded"}.</p>
        {cautions(order).map((caution) => <p key={caution} class="caution">➤ {caution}: as ordered?</p>)}
        <p class="help">This opens the record. The pump is set and started at the pump.</p>
      </div>
    </Sheet>
  );
}
