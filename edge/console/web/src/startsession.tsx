/** Opening a session: the protocol, the order entered, then read back before it is confirmed. */
import { useState } from "preact/hooks";
import { command } from "./api.ts";
import { idOf } from "./beds.ts";
import type { ProtocolNow } from "./contract.ts";
import { cautions, devices, EMPTY_ORDER, fieldsOf, FLAGS, inDevices, isByHand, type Order, type OrderDraft, type OrderField, plain, problems, readOrder, total } from "./dose.ts";
import { useDraft } from "./drafts.ts";
import { NumberFields, TextField } from "./keypad.tsx";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import { highOf, isSaid, Whose } from "./whose.tsx";
import { refusal } from "./words.ts";

const OF_0_1_0 = "iv_racemic_40"; // an edge that tells no protocol has this one

export function StartSession({ bed, close }: { bed: string; close: () => void }) {
  const [draft, change, forget] = useDraft<OrderDraft>(`start ${bed}`, EMPTY_ORDER);
  const [reading, setReading] = useState(false);
  const known = store.protocols.get(idOf(bed).edge) ?? [];
  const protocol = known.find(({ id }) => id === draft.protocol) ?? known[0] ?? null;
  const fields = fieldsOf(protocol);
  const wrong = problems(draft, fields);
  const order = readOrder(draft, fields);
  const yes = draft.yes ?? [];
  if (reading && wrong.length === 0) {
    return <ReadBack bed={bed} order={order} protocol={protocol} fields={fields} yes={yes} back={() => setReading(false)} close={close} forget={forget} />;
  }
  return (
    <Sheet title={`Start session, ${store.label(bed)}: ${drugOf(protocol)}`} close={close} foot={
      <>
        <span>{wrong.length > 0 ? list(wrong) : <Echo order={order} protocol={protocol} />}</span>
        <button class="go" disabled={wrong.length > 0} onClick={() => setReading(true)}>Read back</button>
      </>
    }>
      {known.length > 0 && (
        <label class="patient-field"><span>Protocol</span>
          <select name="protocol" value={protocol?.id ?? ""} onChange={(event) => change({ protocol: event.currentTarget.value })}>
            {known.map(({ id, title }) => <option key={id} value={id}>{title}</option>)}
          </select>
        </label>
      )}
      <TextField label="Patient" name="patient" placeholder="not entered" text={draft.patient} change={(patient) => change({ patient })} />
      <NumberFields key={protocol?.id} fields={fields} texts={Object.fromEntries(fields.map(({ key }) => [key, draft[key] ?? ""]))} change={(key, text) => change({ [key]: text })} />
      <p class="help">{fields.map(allowed).filter(Boolean).join("; ")}</p>
      <div class="flags">
        {FLAGS.map(([key, label]) => (
          <button key={key} type="button" aria-pressed={yes.includes(key)} onClick={() => change({ yes: yes.includes(key) ? yes.filter((one) => one !== key) : [...yes, key] })}>
            {yes.includes(key) ? "☑" : "☐"} {label}
          </button>
        ))}
      </div>
    </Sheet>
  );
}

function drugOf(protocol: ProtocolNow | null): string {
  return protocol === null ? "racemic ketamine, intravenous" : `${protocol.drug}, ${protocol.route}`;
}

/** What an order may say of one number. */
function allowed({ label, unit, min, max, only }: OrderField): string {
  return `${label} ${only.length > 0 ? only.join(" or ") : `${min} to ${max}`} ${unit}`;
}

/** What is missing in one phrase, what is wrong in full. */
function list(wrong: string[]): string {
  const missing = wrong.filter((one) => one.endsWith(" is missing")).map((one) => one.replace(" is missing", "").toLowerCase());
  const rest = wrong.filter((one) => !one.endsWith(" is missing"));
  return [...rest, ...(missing.length > 0 ? [`Missing: ${missing.join(", ")}`] : [])].join(". ");
}

function Echo({ order, protocol }: { order: Order; protocol: ProtocolNow | null }) {
  if (isByHand(protocol)) return <b>{devices(order.dose_mg ?? 0, protocol)}</b>;
  const sum = total(order);
  if (sum === null) return null;
  return <b>{plain(sum.dose_mg)} mg in {plain(sum.volume_ml)} mL, {plain(sum.rate_ml_h)} mL/h</b>;
}

interface Read { bed: string; order: Order; protocol: ProtocolNow | null; fields: readonly OrderField[]; yes: readonly string[] }

function ReadBack(props: Read & { back: () => void; close: () => void; forget: () => void }) {
  const { order, protocol, yes } = props;
  const high = highOf(props.bed);
  const [whose, setWhose] = useState("");
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const confirm = async (): Promise<void> => {
    setSending(true);
    const said = high.length > 0 ? { whose: whose.trim() } : {};
    const flags = Object.fromEntries(yes.map((key) => [key, true]));
    const answer = await command(props.bed, "start_session", { ...order, ...flags, ...said, protocol: protocol?.id ?? OF_0_1_0, checklist: false });
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
        <button class="go" disabled={sending || !isSaid(high, whose)} onClick={() => void confirm()}>{!isSaid(high, whose) ? "Say whose the alarm is" : sending ? "Sending" : "Confirm and start session"}</button>
      </>
    }>
      <div class="read-back">
        <p>{order.patient}</p>
        {protocol !== null && <p>{protocol.title}</p>}
        {isByHand(protocol) ? <ByHand order={order} protocol={protocol} /> : <ByPump order={order} drug={protocol?.drug ?? "ketamine"} />}
        {FLAGS.filter(([key]) => yes.includes(key)).map(([key, label]) => <p key={key}>{label}: yes</p>)}
        {cautions(order, props.fields).map((caution) => <p key={caution} class="caution">➤ {caution}: as ordered?</p>)}
        <Whose high={high} whose={whose} change={setWhose} />
        <p class="help">{isByHand(protocol) ? "This opens the record. The patient takes the drug by hand; then enter \"Dose given\"." : "This opens the record. The pump is set and started at the pump."}</p>
      </div>
    </Sheet>
  );
}

function ByPump({ order, drug }: { order: Order; drug: string }) {
  const sum = total(order);
  return (
    <>
      <p>{order.weight_kg} kg × {order.dose_mg_kg} mg/kg =</p>
      <p class="big">{plain(sum?.dose_mg ?? 0)} mg {drug}</p>
      <p class="big">{plain(sum?.volume_ml ?? 0)} mL <small>at {order.concentration_mg_ml} mg/mL</small></p>
      <p class="big">{plain(sum?.rate_ml_h ?? 0)} mL/h <small>for {order.duration_min} min</small></p>
      <p>Cuff every {order.nibp_interval_min} min. Age {order.age_years ?? "not recorded"}.</p>
    </>
  );
}

function ByHand({ order, protocol }: { order: Order; protocol: ProtocolNow | null }) {
  return (
    <>
      <p class="big">{plain(order.dose_mg ?? 0)} mg {protocol?.drug} <small>{protocol?.route}</small></p>
      <p class="big">{inDevices(order.dose_mg ?? 0, protocol)}</p>
      <p>Cuff as the protocol says. Age {order.age_years ?? "not recorded"}.</p>
    </>
  );
}
