/** Working the simulated devices by hand: what a person beside each bed could do, and what they would read there. */
import "./style/simulation.css";
import { useEffect, useState } from "preact/hooks";
import { type Hand, hand, type SimulatedBed, type SimulatedDevice, simulatedBeds } from "./api.ts";
import { keyOf, pathOf } from "./beds.ts";
import { isClinical } from "./feed.ts";
import { Link } from "./router.tsx";
import { store } from "./state.ts";
import { parseNumber } from "./typed.ts";
import { METRICS } from "./vocabulary.ts";

const LOOK_MS = 1000;

/** Words of the hands that every newcomer needs. */
const FIRST: Record<string, string> = {
  start: "Start", stop: "Stop", load: "New syringe", probe_off: "Take finger out", probe_on: "Put finger in",
  unplug: "Pull cable", replug: "Plug in", apnoea: "Patient stops breathing", breathe: "Patient breathes again",
};
/** Words of the others, where their name alone does not say what happens; they follow under "more". */
const MORE: Record<string, string> = {
  mute: "Device falls silent", unmute: "Device speaks again", occlude: "Block the line", clear: "Free the line",
  line_out: "Unplug the sampling line", line_in: "Plug the sampling line in", motion: "Hand moves", still: "Hand holds still",
  sensor_out: "Unplug the sensor", sensor_in: "Plug the sensor in", low_battery: "Battery runs low", fault: "Device has a fault",
  silence: "Silence its own alarm", search: "Probe searches",
};
const EPISODES: Record<string, { word: string; amount: number; over_s: number; unit: string }> = {
  hypertension: { word: "High blood pressure", amount: 65, over_s: 60, unit: "mmHg more" },
  desaturation: { word: "Low oxygen", amount: 10, over_s: 20, unit: "% less" },
  tachycardia: { word: "Fast pulse", amount: 60, over_s: 30, unit: "/min more" },
};
/** What a front calls otherwise than the vocabulary does. */
const NUMBERS: Record<string, string> = { infused_ml: "volume_infused_ml", cuff_mmhg: "cuff_pressure_mmhg" };
/** A switch on a front: its word when on, and when off. */
const SWITCHES: Record<string, [string, string]> = {
  running: ["Running", "Stopped"], probe: ["Finger in the probe", "Finger out"], moving: ["Hand moves", "Hand still"],
};
const EASES_S = 60;
type Act = (asked: Hand) => Promise<void>;

export function Simulation() {
  const [beds, setBeds] = useState<SimulatedBed[] | null>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const look = async (): Promise<void> => setBeds(await simulatedBeds());
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const act = (edge: string): Act => async (asked) => {
    setProblem(await hand(edge, asked));
    await look();
  };
  if (beds === null) return <><h1 tabIndex={-1}>Simulation</h1><p role="alert">The simulators do not answer now.</p></>;
  return (
    <div class="simulation">
      <h1 tabIndex={-1}>Simulation</h1>
      <p>
        You are beside the bed. What you do here is done to the simulated devices and patients, and Vigil reads it from them.
        A session: open it on the bed's page, start the pump, make check-ins, let the dose run or stop the pump, close it, and
        let the next patient come. A bed that you work is yours: the story leaves it alone.
      </p>
      {problem !== null && <p class="problem" role="alert">{problem}</p>}
      {beds.map((bed) => <Beside key={`${bed.edge}/${bed.bed}`} bed={bed} act={act(bed.edge)} />)}
    </div>
  );
}

function Beside({ bed, act }: { bed: SimulatedBed; act: Act }) {
  const devices = [...bed.devices].sort((a, b) => Number(isPump(b)) - Number(isPump(a)));
  return (
    <section class="beside" data-bed={bed.bed} aria-label={store.label(keyOf(bed))}>
      <h2>{isClinical(store.me) ? <Link to={pathOf(bed, store.edges.length)}>{store.label(keyOf(bed))} →</Link> : store.label(keyOf(bed))}{bed.by_hand && <small> worked by you</small>}</h2>
      <div class="device" data-device="patient">
        <h3>Patient</h3>
        {Object.entries(bed.episodes).map(([kind, now]) => <Episode key={kind} bed={bed.bed} kind={kind} now={now} act={act} />)}
        <button onClick={() => void act({ bed: bed.bed, device: "patient", do: "next" })}>Next patient comes</button>
        {store.states.get(keyOf(bed))?.session && <p class="help">A session is open here. It stays the last patient’s until it is closed on the bed’s page.</p>}
      </div>
      {devices.map((device) => <Device key={device.device} bed={bed.bed} device={device} act={act} />)}
    </section>
  );
}

function Episode({ bed, kind, now, act }: { bed: string; kind: string; now: number; act: Act }) {
  const told = EPISODES[kind];
  if (told === undefined) return null;
  const asked = { bed, device: "patient", do: kind };
  return now > 0.5
    ? <button aria-pressed="true" onClick={() => void act({ ...asked, amount: 0, over_s: EASES_S })}>
        End: {told.word} (now {now.toFixed(0)} {told.unit})
      </button>
    : <button onClick={() => void act({ ...asked, amount: told.amount, over_s: told.over_s })}>{told.word}</button>;
}

const isPump = (device: SimulatedDevice): boolean => "rate_ml_h" in device.display;

function Device({ bed, device, act }: { bed: string; device: SimulatedDevice; act: Act }) {
  const usable = device.hands.filter((name) => name !== (device.unplugged ? "unplug" : "replug") && name !== "program");
  const first = usable.filter((name) => name in FIRST);
  const more = usable.filter((name) => !(name in FIRST));
  const button = (name: string) => (
    <button key={name} onClick={() => void act({ bed, device: device.device, do: name })}>{FIRST[name] ?? MORE[name] ?? name.replaceAll("_", " ")}</button>
  );
  return (
    <div class="device" data-device={device.device}>
      <h3>{device.device} <small>{device.driver}</small></h3>
      <p class="front" role="status">{device.unplugged ? "cable pulled" : front(device.display)}</p>
      {isPump(device) && <Program bed={bed} device={device} act={act} />}
      {first.map(button)}
      {more.length > 0 && <details><summary>more</summary>{more.map(button)}</details>}
    </div>
  );
}

/** What stands on a device's front, in words: numbers by the vocabulary, switches by what they mean. */
function front(display: SimulatedDevice["display"]): string {
  return Object.entries(display).map(([name, value]) => {
    const metric = METRICS.get(NUMBERS[name] ?? name);
    if (metric !== undefined) return `${metric.label} ${typeof value === "number" ? `${value.toFixed(metric.decimals)} ${metric.unit}` : "--"}`;
    if (typeof value === "boolean") return SWITCHES[name]?.[value ? 0 : 1] ?? `${name.replaceAll("_", " ")} ${value ? "on" : "off"}`;
    return value === null ? `no ${name.replaceAll("_", " ")}` : `${name.replaceAll("_", " ")}: ${value}`;
  }).join(" · ");
}

function Program({ bed, device, act }: { bed: string; device: SimulatedDevice; act: Act }) {
  const [wrong, setWrong] = useState("");
  const enter = (event: SubmitEvent): void => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const number = (name: string): number | null => parseNumber(String(fields.get(name)));
    const [rate_ml_h, vtbi_ml] = [number("rate_ml_h"), number("vtbi_ml")];
    if (rate_ml_h === null || vtbi_ml === null) return setWrong("Rate and volume must be numbers");
    setWrong("");
    void act({ bed, device: device.device, do: "program", rate_ml_h, vtbi_ml });
  };
  const field = (name: string, label: string) => ( // a number's field drops the comma of "60,4" in some browsers
    <label>{label}<input name={name} inputMode="decimal" autoComplete="off" required defaultValue={String(device.display[name] ?? "")} /></label>
  );
  return (
    <form onSubmit={enter}>
      {field("rate_ml_h", "Rate, mL/h")}
      {field("vtbi_ml", "Volume, mL")}
      <button>Program</button>
      {wrong !== "" && <em role="alert">{wrong}</em>}
    </form>
  );
}
