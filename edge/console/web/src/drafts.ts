/** Half-filled forms, kept while the page lives so that a look at another bed loses nothing; never written to the browser. */
import { useState } from "preact/hooks";

const drafts = new Map<string, unknown>();

export function useDraft<T>(key: string, empty: T): [T, (change: Partial<T>) => void, () => void] {
  const [draft, setDraft] = useState<T>((drafts.get(key) as T | undefined) ?? empty);
  const change = (part: Partial<T>): void => {
    setDraft((before) => {
      const next = { ...before, ...part };
      drafts.set(key, next);
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
