/** What a person typed into a number field, read strictly: a field is empty, a number, or wrong, and never guessed. Pure. */

const PLAIN = /^(?:\d+[.,]?\d*|[.,]\d+)$/;
const WHOLE = /^\d+$/;

export interface Read { value: number | null; wrong: boolean }

/** Digits with at most one decimal sign. "0x46" and "7e1" are numbers to JavaScript alone, so they are none here. */
export function parseNumber(text: string): number | null {
  const plain = text.trim();
  const value = PLAIN.test(plain) ? Number(plain.replace(",", ".")) : Number.NaN;
  return Number.isFinite(value) ? value : null;
}

export function readNumber(text: string): Read {
  const value = parseNumber(text);
  return { value, wrong: value === null && text.trim() !== "" };
}

/** A score, or another whole number: at most so many digits as `most` has. A sign or a decimal point is never dropped to make it one. */
export function readScore(text: string, most: number, least = 0): Read {
  if (text === "") return { value: null, wrong: false };
  const value = WHOLE.test(text) && text.length <= String(most).length ? Number(text) : Number.NaN;
  return value >= least && value <= most ? { value, wrong: false } : { value: null, wrong: true };
}

/** What one key of the keypad makes of a field's text. */
export function pressed(text: string, key: string): string {
  if (key === "⌫") return text.slice(0, -1);
  return key === "." && /[.,]/.test(text) ? text : text + key;
}
