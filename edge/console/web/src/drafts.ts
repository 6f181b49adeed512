/** Half-filled forms, kept while the page lives so that a look at another bed loses nothing; never written to the browser. */
import { useState } from "preact/hooks";

const KEPT_MS = 3_600_000; // what was seen or ordered longer ago is asked anew
const drafts = new Map<string, [draft: unknown, at_ms: number]>();

function kept(key: string): unknown {
  const [draft, at_ms] = drafts.get(key) ?? [undefined, 0];
  return performance.now() - at_ms < KEPT_MS ? draft : undefined;
}

export function useDraft<T>(key: string, empty: T): [T, (change: Partial<T>) => void, () => void] {
  const [draft, setDraft] = useState<T>((kept(key) as T | undefined) ?? empty);
  const change = (part: Partial<T>): void => {
    setDraft((before) => {
      const next = { ...before, ...part };
      drafts.set(key, [next, performance.now()]);
      return next;
    });
  };
  const forget = (): void => {
    drafts.delete(key);
    setDraft(empty);
  };
  return [draft, change, forget];
}

/** Signed out: another nurse shall not find this one's drafts. */
export function forgetDrafts(): void {
  drafts.clear();
}

/** A session is open at this bed: what was typed to start one was for that patient, and is not to be found by the next. */
export function forgetStart(bed: string): void {
  drafts.delete(`start ${bed}`);
}
