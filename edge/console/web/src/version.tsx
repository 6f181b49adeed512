/** A page older than its console says so, and loads the new one when no alarm is being handled and nothing is being entered. */
import { useEffect, useState } from "preact/hooks";
import { store } from "./state.ts";

const WAIT_MS = 10_000;
const TRIED = "reloaded_for"; // so that a proxy that hands out an old page is not asked for ever

/** Whether the server serves another build than the one that runs here. */
export function isOld(): boolean {
  return store.build !== null && store.build !== PAGE_BUILD;
}

/** An alarm nobody acknowledged, or a form half filled: not now. */
function busy(): boolean {
  const alarms = [...store.states.values()].flatMap((state) => state.alarms);
  return alarms.some(({ state }) => state === "active" || state === "latched") || document.querySelector(".sheet") !== null;
}

export function OldPage() {
  const old = isOld();
  const [idle, setIdle] = useState(false);
  useEffect(() => {
    if (!old) return undefined;
    const timer = setInterval(() => setIdle(!busy()), WAIT_MS);
    return () => clearInterval(timer);
  }, [old]);
  useEffect(() => {
    if (!old || !idle || sessionStorage.getItem(TRIED) === store.build) return;
    sessionStorage.setItem(TRIED, store.build ?? "");
    location.reload();
  }, [old, idle]);
  if (!old) return null;
  return (
    <section class="banner-lock" role="status">
      <strong>This page is older than its console</strong>
      <span>It loads the new one when no alarm is open and nothing is being entered.</span>
      <button onClick={() => location.reload()}>Load it now</button>
    </section>
  );
}
