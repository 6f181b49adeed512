/** What happened at this bed, newest first, from the journal. */
import { useEffect, useState } from "preact/hooks";
import { clockTime, stopwatch } from "./age.ts";
import { happenings } from "./api.ts";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import type { Happening } from "./types.ts";
import { bedName, PHASE, sentence } from "./words.ts";

export function Events({ bed, close }: { bed: string; close: () => void }) {
  const [told, setTold] = useState<Happening[] | null | undefined>(undefined);
  const count = store.happenings.get(bed) ?? 0;
  useEffect(() => {
    let gone = false;
    void happenings(bed).then((answer) => {
      if (!gone) setTold(answer);
    });
    return () => {
      gone = true;
    };
  }, [bed, count]);
  return (
    <Sheet title={`Events, ${bedName(bed)}`} close={close}>
      {told === undefined && <p>Reading</p>}
      {told === null && <p role="alert">The events cannot be read now.</p>}
      {told?.length === 0 && <p>None yet.</p>}
      <table class="events"><tbody>
        {told?.map((event) => (
          <tr key={event.seq} class={event.kind}>
            <td>{clockTime(event.at)}{event.late && <small> arrived late</small>}</td><td>{sentence(event.kind)}</td><td>{say(event)}</td><td class="seq">{event.seq}</td>
          </tr>
        ))}
      </tbody></table>
    </Sheet>
  );
}

/** One event in one line: the words it carries, else its plain fields. */
function say(event: Happening): string {
  const body = event.body;
  if (event.kind === "boot") return body["gap_s"] ? `Restarted: nobody watched for ${stopwatch(Number(body["gap_s"]))}` : "Started";
  const word = (key: string): string => (typeof body[key] === "string" || typeof body[key] === "number" ? String(body[key]) : "");
  const text = word("text") || word("reason") || word("why");
  const phase = PHASE[word("phase") as keyof typeof PHASE] ?? word("phase");
  const moved = [word("priority").toUpperCase(), word("state"), phase, word("verb")].filter(Boolean).join(" ");
  const by = word("by") || word("user");
  const said = [moved, text, by === "" ? "" : `by ${by}`].filter(Boolean).join(", ");
  if (said !== "") return said;
  return Object.entries(body).filter(([, value]) => value !== null && typeof value !== "object").map(([key, value]) => `${sentence(key)} ${String(value)}`).join(", ");
}
