/** For the technician: whom the broker did not let in or would not serve, since when, and what to do. */
import { useEffect, useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { type RefusedByBroker, type RefusedNow, refusedByBroker } from "./api.ts";

const LOOK_MS = 5000;

export function Refused() {
  const [broker, setBroker] = useState<RefusedByBroker | null>(null);
  useEffect(() => {
    const look = async (): Promise<void> => setBroker(await refusedByBroker());
    void look();
    const timer = setInterval(() => void look(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  if (broker === null) return null;
  if (!broker.told) return <p class="help">What the broker refuses of other programs stands in its own log (mosquitto: <code>journalctl -u mosquitto</code>).</p>;
  const [last] = broker.refused;
  if (last === undefined) return <p class="help">The broker has refused nobody since {clockTime(broker.since)}.</p>;
  const all = broker.refused.length + broker.more;
  return (
    <details class="refused" open>
      <summary>⊘ The broker refused {all === 1 ? "one program" : `${all} programs or topics`}, last at {clockTime(last.last)}</summary>
      <ul>{broker.refused.map((one) => <li key={`${one.why} ${one.user} ${one.what}`}><One one={one} /></li>)}</ul>
      {broker.more > 0 && <p>{broker.more} older ones are no longer told singly; the broker’s log has some of them.</p>}
    </details>
  );
}

function One({ one }: { one: RefusedNow }) {
  return (
    <>
      <b>{one.user === null ? "No user name" : `User ${one.user}`}</b> <small>client {one.client || "without a name"}</small>: {one.what}
      <small> {one.count === 1 ? `at ${clockTime(one.last)}` : `${one.count} times, ${clockTime(one.first)} to ${clockTime(one.last)}`}</small>
      <span class="remedy">➤ {one.remedy}</span>
    </>
  );
}
