/** What happened at this bed, newest first, from the journal. */
import { useEffect, useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { happenings } from "./api.ts";
import { kindOf, say } from "./eventwords.ts";
import { Sheet } from "./sheet.tsx";
import { store } from "./state.ts";
import type { Happening } from "./types.ts";
import { bedName } from "./words.ts";

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
          <tr key={event.seq} class={`kind-${event.kind}`}>
            <td>{clockTime(event.at)}{event.late && <small> arrived late</small>}</td><td>{kindOf(event)}</td><td>{say(event)}</td><td class="seq">{event.seq}</td>
          </tr>
        ))}
      </tbody></table>
    </Sheet>
  );
}
