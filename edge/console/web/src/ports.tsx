/** For the technician: each box's serial ports, what is on one of them, and edge.toml read again. Nothing is written from here. */
import { useEffect, useState } from "preact/hooks";
import { clockTime } from "./age.ts";
import { askBox, statuses } from "./api.ts";
import { Drivers } from "./card.tsx";
import type { Status } from "./contract.ts";

const LOOK_MS = 1000;

export function Ports() {
  const [boxes, setBoxes] = useState<readonly { edge: string; ok: boolean; status: Status | null }[]>([]);
  useEffect(() => {
    const look = async (): Promise<void> => setBoxes(await statuses());
    void look();
    const timer = setInterval(() => void look(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  return <>{boxes.map(({ edge, ok, status }) => <Box key={edge} edge={edge} ok={ok} status={status} />)}</>;
}

function Box({ edge, ok, status }: { edge: string; ok: boolean; status: Status | null }) {
  const [at, setAt] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const ask = async (verb: Parameters<typeof askBox>[1], where?: string): Promise<void> => setProblem(await askBox(edge, verb, where === undefined ? undefined : { at: where }));
  useEffect(() => void ask("look_at_ports"), []);
  const probe = status?.probe ?? null;
  const busy = !ok || probe?.state === "running";
  return (
    <section class="box" aria-label={`Ports of ${edge}`}>
      <h2>{edge}{!ok && <small> not live</small>}</h2>
      {problem !== null && <p role="alert">{problem}</p>}
      <ul>
        {probe?.ports.map((port) => (
          <li key={port.port}><code>{port.port}</code> {port.what}
            {port.used_by ? <small> {port.used_by}</small> : <button disabled={busy} onClick={() => void ask("probe_port", port.port)}>What is it?</button>}</li>
        ))}
        {probe?.ports.length === 0 && <li>No serial port at this box.</li>}
      </ul>
      <form onSubmit={(event) => { event.preventDefault(); void ask("probe_port", at.trim()); }}>
        <label>Another place<input name="at" placeholder="tcp://10.0.0.7:4001" value={at} onInput={(event) => setAt(event.currentTarget.value)} /></label>
        <button disabled={busy || at.trim() === ""}>What is it?</button>
        <button type="button" disabled={!ok} onClick={() => void ask("look_at_ports")}>List again</button>
      </form>
      {probe !== null && probe.state !== "listed" && (
        <div role="status" data-probe={probe.state}>
          <p><b>{probe.at}</b>: {probe.state === "running" ? "looking" : probe.state} <small>{probe.by}, {clockTime(probe.since)}</small></p>
          {probe.says.map((line) => <p key={line}>{line}</p>)}
          {probe.toml !== "" && <><p>In edge.toml on {edge}, below its [[bed]]:</p><pre tabIndex={0}>{probe.toml}</pre></>}
        </div>
      )}
      {ok && <Drivers edge={edge} />}
      <p><button disabled={!ok} onClick={() => void ask("read_again")}>Read edge.toml again</button>
        {status?.reload && <span role="status"> {clockTime(status.reload.at)} {status.reload.state === "refused" ? "refused, nothing is changed: " : ""}{status.reload.text}{status.reload.state === "restart" ? ": takes a restart" : ""}</span>}</p>
    </section>
  );
}
