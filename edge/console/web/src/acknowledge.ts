/** One tap acknowledges the occurrence (seq) a person sees; a newer one starts clean. Used by the rail and a bed's list. */
import { useState } from "preact/hooks";
import { command } from "./api.ts";
import type { Alarm } from "./feed.ts";
import { refusal } from "./words.ts";

interface Outcome { seq: number; words: string | null }

export interface Acknowledging { sending: boolean; refused: string | null; acknowledge: () => void }

export function useAcknowledge(bed: string, alarm: Alarm): Acknowledging {
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const send = async (): Promise<void> => {
    setOutcome({ seq: alarm.seq, words: null });
    const answer = await command(bed, "acknowledge", { alarm: alarm.alarm, seq: alarm.seq });
    setOutcome(answer.ok ? null : { seq: alarm.seq, words: refusal(answer) });
  };
  return {
    sending: outcome !== null && outcome.words === null && outcome.seq === alarm.seq,
    refused: outcome?.words ?? null,
    acknowledge: () => void send(),
  };
}
