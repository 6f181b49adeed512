/** What happened at this bed, newest first, from the journal. */
import { useEffect, useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { events } from "./api.ts";
import { kindOf, sentenceOf } from "./eventwords.ts";
import { store } from "./state.ts";
import type { EdgeEvent } from "./feed.ts";

export function Events({ bed }: { bed: string }) {
  const [listed, setListed] = useState<EdgeEvent[] | null | undefined>(undefined);
  const count = store.events.get(bed) ?? 0;
  useEffect(() => {
    let gone = false;
    void events(bed).then((answer) => {
      if (!gone) setListed(answer);
    });
    return () => {
      gone = true;
    };
  }, [bed, count]);
  return (
    <>
      {listed === undefined && <p>Reading</p>}
      {listed === null && <p role="alert">The events cannot be read now.</p>}
      {listed?.length === 0 && <p>None yet.</p>}
      <table class="events"><tbody>
        {listed?.map((event) => (
          <tr key={event.seq} class={`kind-${event.kind}`}>
            <td>{clockTime(event.at)}{event.late && <small> arrived late</small>}{event.unstored && <small> not stored at the bed then</small>}</td><td>{kindOf(event)}</td><td>{sentenceOf(event)}</td><td class="seq">{event.seq}</td>
          </tr>
        ))}
      </tbody></table>
    </>
  );
}
