/** What is wrong besides what is not live: each in plain words of the console's, with what to do next. */
import { ageWords, clockTime } from "./age.ts";
import type { Device } from "./feed.ts";
import { store } from "./state.ts";
import { linkTrouble } from "./words.ts";

/** What cannot be seen of these devices, for how long and of which: the age first, so that it is never what is cut off. */
export function unseen(bed: string, devices: readonly Device[]): string[] {
  return devices.flatMap((device) => {
    const words = linkTrouble(device);
    const since_s = device.off_until === undefined ? store.since_s(device.since, bed) : null;
    return words === null ? [] : [since_s === null ? words : `${ageWords(since_s)}: ${words}`];
  });
}

export function Troubles() {
  if (store.troubles.length === 0) return null;
  return (
    <section class="troubles" aria-label="System troubles">
      {store.troubles.map(({ part, edge, since, what, remedy }) => (
        <p key={`${edge ?? ""} ${part}`} role="status" data-part={part} data-edge={edge ?? undefined}>
          <b>⚠ {what}</b> <span>{remedy}</span>{since !== null && <small> since {clockTime(since)}</small>}
        </p>
      ))}
    </section>
  );
}
