/** Every device at every bed, for the technician: the worst first, or in the order of a column. */
import "./style/devices.css";
import { useState } from "preact/hooks";
import { idOf } from "./beds.ts";
import { ageWords, clockTime } from "./age.ts";
import { Card } from "./card.tsx";
import { InMaintenance, Maintain } from "./maintenance.tsx";
import { Ports } from "./ports.tsx";
import { RANK } from "./rank.ts";
import { Refused } from "./refused.tsx";
import { ScreenSize } from "./screen.tsx";
import { store } from "./state.ts";
import type { Device, Link } from "./feed.ts";
import { counted, kindWord, linkRemedy, linkTrouble, sentence } from "./words.ts";

interface Entry { bed: string; device: Device }
const LINK_RANK: Record<Link, number> = { wrong_device: 5, lost: 4, unstable: 3, silent: 2, connecting: 1, live: 0 };

function badShare({ device }: Entry): number {
  return device.frames + device.bad === 0 ? 0 : device.bad / (device.frames + device.bad);
}

/** Trouble in one number: the link first, then the device's own alarms, then its share of bad frames. */
export function trouble(entry: Entry): number {
  const alarm = Math.max(0, ...entry.device.alarms.map(({ priority }) => RANK[priority]));
  return (LINK_RANK[entry.device.link] ?? 5) * 100 + alarm * 10 + badShare(entry) * 9;
}

const ORDERS: Record<string, (a: Entry, b: Entry) => number> = {
  Trouble: (a, b) => trouble(b) - trouble(a),
  Bed: () => 0,
  Driver: (a, b) => a.device.driver.localeCompare(b.device.driver),
  Bad: (a, b) => badShare(b) - badShare(a),
  Late: (a, b) => b.device.late - a.device.late,
};

/** By what of it a device is found. */
function words({ bed, device }: Entry): string {
  return [store.label(bed), kindWord(device), device.device, device.driver, device.identity, linkTrouble(device) ?? "live"].join(" ").toLowerCase();
}

export function Devices() {
  const [order, setOrder] = useState("Trouble");
  const [wanted, setWanted] = useState("");
  const entries = store.beds.flatMap((bed) => (store.states.get(bed)?.devices ?? []).map((device) => ({ bed, device })));
  const found = entries.filter((entry) => words(entry).includes(wanted.trim().toLowerCase()));
  const broken = entries.filter(({ device }) => device.link !== "live").length;
  return (
    <div class="devices">
      <div class="devices-head">
        <h1 tabIndex={-1}>Devices</h1><b>{broken === 0 ? `All ${entries.length} live` : `${broken} of ${entries.length} not live`}</b>
        <span class="ranges">Order by {Object.keys(ORDERS).map((key) => <button key={key} aria-pressed={key === order} onClick={() => setOrder(key)}>{key}</button>)}</span>
        <label>Find <input type="search" value={wanted} placeholder="bed, driver, serial number" onInput={(event) => setWanted(event.currentTarget.value)} /></label>
      </div>
      <ScreenSize />
      <AtTheBox />
      <Refused />
      <div class="table" tabIndex={0} role="region" aria-label="All devices"><table>
        <thead><tr>{COLUMNS.map((column) => <th key={column}>{column}</th>)}</tr></thead>
        <tbody>{found.sort(ORDERS[order]).map((entry) => <Line key={`${entry.bed} ${entry.device.device}`} entry={entry} />)}</tbody>
      </table>{found.length === 0 && <p role="status">No device is found by “{wanted}”.</p>}</div>
    </div>
  );
}

/** Nothing is asked before it is opened. */
function AtTheBox() {
  const [open, setOpen] = useState(false);
  return <details onToggle={() => setOpen(true)}><summary>Connect a device: ports, probe, edge.toml</summary>{open && <Ports />}</details>;
}

const COLUMNS = ["Bed", "Device", "Link", "Since", "Driver", "Identity", "Frames", "Bad", "Late", "Bytes understood", "Its own alarms", "More"];

function Line({ entry }: { entry: Entry }) {
  const { bed, device } = entry;
  const [open, setOpen] = useState(false);
  const [carded, setCarded] = useState(false);
  const { edge, bed: at } = idOf(bed);
  const since_s = store.since_s(device.since, bed);
  const wired = device.line !== undefined && device.line.frames.length > 0;
  return (
    <>
      <tr class={device.link === "live" ? "" : "troubled"} data-edge={edge} data-device={`${at}/${device.device}`}>
        <td data-is="Bed">{store.label(bed)}</td><td data-is="Device">{sentence(kindWord(device))}{device.device !== kindWord(device) && <small> {device.device}</small>}{device.role !== undefined && <small> {device.role === "drug" ? "gives the drug" : "carries"}</small>}</td>
        <td class="link-told" data-is="Link"><b>{linkTrouble(device) ?? "Live"}</b>{device.reason !== "" && <small> {device.reason}</small>}
          {device.link !== "live" && <small class="remedy">➤ {linkRemedy(device.link, device.ask)}</small>}</td>
        <td data-is="Since">{clockTime(device.since)}{since_s !== null && <small> {ageWords(since_s)}</small>}</td>
        <td data-is="Driver">{device.driver}</td><td data-is="Identity">{device.identity ?? "not told"}{device.line !== undefined && <small> bound {device.line.expected === null ? "by its port" : device.line.expected === device.identity ? "by it" : `to ${device.line.expected}`}</small>}
          {device.line?.unsure && <small class="remedy">➤ {device.line.unsure}</small>}</td>
        <td class="n" data-is="Frames">{device.frames}</td><td class="n" data-is="Bad">{device.bad}{device.bad > 0 && <small> {(badShare(entry) * 100).toFixed(1)} %</small>}</td><td class="n" data-is="Late">{device.late}</td>
        <td class="n" data-is="Bytes understood">{device.understood}<small> of {device.received}</small></td>
        <td data-is="Its own alarms">{device.alarms.map(({ text, code }) => text || sentence(code)).join(", ")}<InMaintenance bed={bed} device={device} /></td>
        <td class="more">
          <button class="to-wire" aria-expanded={carded} onClick={() => setCarded(!carded)}>Wiring card {carded ? "▴" : "▾"}</button>
          {wired && <button class="to-wire" aria-expanded={open} onClick={() => setOpen(!open)}>Wire {open ? "▴" : "▾"}</button>}
          <Maintain bed={bed} device={device} /></td>
      </tr>
      {open && device.line !== undefined && <tr class="wire"><td colSpan={COLUMNS.length}><Wire line={device.line} /></td></tr>}
      {carded && <tr class="wire"><td colSpan={COLUMNS.length}><div class="wire-told"><Card edge={edge} of={`${at}/${device.device}`} /></div></td></tr>}
    </>
  );
}

/** What went over a device's wire lately, below its row and as wide as the screen. */
function Wire({ line }: { line: NonNullable<Device["line"]> }) {
  const unmapped = Object.entries(line.unmapped);
  return (
    <div class="wire-told">
      <p>{line.at && <><code>{line.at}</code>; </>}{counted(line.timeouts, "request")} without a response
        {line.response_s !== null && <>; 95 % of the responses within {Math.round(line.response_s * 1000)} ms</>}</p>
      {unmapped.length > 0 && <p>Sent, and not shown by this driver: {unmapped.map(([name, count]) => `${name} (${count} times)`).join(", ")}</p>}
      {line.minutes.map((minute) => <p key={minute.at}>{clockTime(minute.at)} {minute.frames} frames, {minute.bad} bad, {minute.late} late, {minute.foreign} foreign bytes of {minute.received}</p>)}
      {line.frames.map((frame, number) => <p key={number}>{frame.sent ? "to" : "from"} the device: <code>{frame.hex}</code> {frame.says}</p>)}
    </div>
  );
}
