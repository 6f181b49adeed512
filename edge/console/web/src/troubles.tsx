/** What is wrong besides what is not live: each in plain words of the console's, with what to do next. */
import { clockTime } from "./age.ts";
import { store } from "./state.ts";

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
