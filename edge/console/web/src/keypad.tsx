/** A number entered by preset or keypad (or keyboard): it opens empty, and says so. */
import { useState } from "preact/hooks";

const KEYS = ["7", "8", "9", "4", "5", "6", "1", "2", "3", ".", "0", "⌫"];

export function parseNumber(text: string): number | null {
  const value = Number(text.replace(",", "."));
  return text.trim() === "" || !Number.isFinite(value) ? null : value;
}

export interface Field { key: string; label: string; unit: string; presets: readonly number[]; hint?: string }

/** Fields beside one keypad that serves whichever is chosen. */
export function NumberFields(props: {
  fields: readonly Field[]; values: Record<string, number | null>; change: (key: string, value: number | null) => void;
}) {
  const [chosen, setChosen] = useState(props.fields[0]?.key ?? "");
  const [typed, setTyped] = useState<Record<string, string>>({});
  const field = props.fields.find(({ key }) => key === chosen) ?? props.fields[0];
  if (field === undefined) return null;
  const textOf = (key: string): string => typed[key] ?? (props.values[key] == null ? "" : String(props.values[key]));
  const enter = (key: string, text: string): void => {
    setTyped({ ...typed, [key]: text });
    props.change(key, parseNumber(text));
  };
  const press = (key: string): void => {
    const text = textOf(field.key);
    if (key === "⌫") enter(field.key, text.slice(0, -1));
    else if (!(key === "." && text.includes("."))) enter(field.key, text + key);
  };
  return (
    <div class="number-fields">
      <div class="fields">
        {props.fields.map(({ key, label, unit, hint }) => (
          <label key={key} class={key === field.key ? "chosen" : ""}>
            <span>{label}{hint !== undefined && <small> {hint}</small>}</span>
            <input value={textOf(key)} inputMode="none" name={key} placeholder="not entered" autoComplete="off"
              onFocus={() => setChosen(key)} onInput={(event) => enter(key, event.currentTarget.value)} />
            <i>{unit}</i>
          </label>
        ))}
      </div>
      <div class="pad">
        <b>{field.label}</b>
        <div class="presets">
          {field.presets.map((preset) => (
            <button key={preset} type="button" aria-pressed={props.values[field.key] === preset} onClick={() => enter(field.key, String(preset))}>{preset}</button>
          ))}
        </div>
        <div class="keys">
          {KEYS.map((key) => <button key={key} type="button" onClick={() => press(key)} aria-label={key === "⌫" ? "delete" : key}>{key}</button>)}
        </div>
      </div>
    </div>
  );
}
