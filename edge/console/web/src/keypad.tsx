/** Numbers entered by preset or keypad (or keyboard): each opens empty, says so, and keeps what was typed as text. */
import { useState } from "preact/hooks";
import { pressed } from "./typed.ts";

const KEYS = ["7", "8", "9", "4", "5", "6", "1", "2", "3", ".", "0", "⌫"];

export interface Field { key: string; label: string; unit: string; presets: readonly number[]; hint: string | undefined }

/** One line of text. */
export function TextField(props: { label: string; name: string; text: string; change: (text: string) => void; placeholder?: string }) {
  return (
    <label class="patient-field"><span>{props.label}</span>
      <input name={props.name} autoComplete="off" placeholder={props.placeholder} value={props.text} onInput={(event) => props.change(event.currentTarget.value)} />
    </label>
  );
}

/** Fields beside one keypad that serves whichever is chosen. */
export function NumberFields(props: {
  fields: readonly Field[]; texts: Readonly<Record<string, string>>; change: (key: string, text: string) => void;
}) {
  const [chosen, setChosen] = useState(props.fields[0]?.key ?? "");
  const field = props.fields.find(({ key }) => key === chosen) ?? props.fields[0];
  if (field === undefined) return null;
  const text = props.texts[field.key] ?? "";
  return (
    <div class="number-fields">
      <div class="fields">
        {props.fields.map(({ key, label, unit, hint }) => (
          <label key={key} class={key === field.key ? "chosen" : ""}>
            <span>{label}{hint !== undefined && <small> {hint}</small>}</span>
            <input value={props.texts[key] ?? ""} inputMode="none" name={key} placeholder="not entered" autoComplete="off"
              onFocus={() => setChosen(key)} onInput={(event) => props.change(key, event.currentTarget.value)} />
            <i>{unit}</i>
          </label>
        ))}
      </div>
      <div class="pad">
        <b>{field.label}</b>
        <div class="presets">
          {field.presets.map((preset) => (
            <button key={preset} type="button" aria-pressed={text === String(preset)} onClick={() => props.change(field.key, String(preset))}>{preset}</button>
          ))}
        </div>
        <div class="keys">
          {KEYS.map((key) => <button key={key} type="button" onClick={() => props.change(field.key, pressed(text, key))} aria-label={key === "⌫" ? "delete" : key}>{key}</button>)}
        </div>
      </div>
    </div>
  );
}
