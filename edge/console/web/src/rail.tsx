/** The alarm rail: on every page, in one place, never scrolled or rotated away. Every HIGH is a row of its own. */
import { useRef, useState } from "preact/hooks";
import { clockTime, stopwatch } from "./age.ts";
import { useAcknowledge } from "./acknowledge.ts";
import { command } from "./api.ts";
import { idOf, keyOf, pathOf } from "./beds.ts";
import { InformationLine } from "./attention.tsx";
import { SoundTest } from "./banner.tsx";
import { inRail, type Line, lines, type Placed, urgency } from "./flood.ts";
import { isPaused, RANK, ranked, soundOf } from "./rank.ts";
import { Link } from "./router.tsx";
import { sounder } from "./session.ts";
import { store } from "./state.ts";
import { isClinical } from "./feed.ts";
import type { Me } from "./feed.ts";
import { noAlarms, latchedWords, PRIORITY, SYMBOL } from "./words.ts";

/** Every alarm of every bed that a person is to see, the most pressing first. */
export function everywhere(): Placed[] {
  const placed = store.beds.flatMap((bed) => (store.states.get(bed)?.alarms ?? []).map((alarm) => ({ bed, alarm })));
  const order = new Map(ranked(placed.map(({ alarm }) => alarm)).map((alarm, index) => [alarm, index]));
  return placed.filter(({ alarm }) => order.has(alarm)).sort((a, b) => (order.get(a.alarm) ?? 0) - (order.get(b.alarm) ?? 0));
}

export function Rail({ me, broken }: { me: Me; broken: boolean }) {
  const all = everywhere();
  const { shown, more } = inRail(lines(all));
  const last = shown.length - 1;
  const high = shown.filter((line) => urgency(line) === "high").length;
  return (
    <section class="rail" aria-label="Alarms of all beds">
      <div class={high > 4 ? "rail-rows many" : "rail-rows"}>
        {shown.map((line, index) => {
          const { placed: [first], cause } = line;
          const rest = index === last ? more : 0;
          return cause === null
            ? <Row key={first.bed + first.alarm.alarm} placed={first} me={me} first={index === 0} more={rest} />
            : <Flood key={first.alarm.cause?.id} line={line} cause={cause} me={me} more={rest} />;
        })}
        {all.length === 0 && <p class="calm">{calm(broken)}</p>}
        <InformationLine />
      </div>
      <Sound me={me} />
    </section>
  );
}

/** What the rail says while no alarm is known; of a bed that is not live it cannot say that there is none. */
function calm(broken: boolean): string {
  const live = !broken && store.beds.every((bed) => store.context(bed).live);
  return live ? `${noAlarms(true)} at ${store.beds.length} ${store.beds.length === 1 ? "bed" : "beds"}` : noAlarms(false);
}

/** All alarms of one cause: which beds, and on a tap each with its own acknowledgement. */
function Flood({ line, cause, me, more }: { line: Line; cause: string; me: Me; more: number }) {
  const [open, setOpen] = useState(false);
  const beds = [...new Set(line.placed.map(({ bed }) => store.label(bed)))].sort();
  const state = line.placed.every(({ alarm }) => alarm.state === "acknowledged") ? "acknowledged" : "active";
  const priority = urgency(line);
  const since = line.placed.map(({ alarm }) => alarm.since).sort()[0] ?? "";
  const left = line.placed.filter(({ alarm }) => alarm.state !== "acknowledged").length;
  return (
    <>
      <div class={`row ${priority} ${state}`}>
        <b class="symbol" aria-hidden="true">{SYMBOL[priority]}</b>
        <span class="what">
          <b>{beds.length} {beds.length === 1 ? "bed" : "beds"}: {cause}</b>
          <small>{PRIORITY[priority]} since {clockTime(since)}, {beds.join(", ")}{more > 0 && <b class="more"> +{more} more</b>}</small>
        </span>
        <button class="rail-acknowledge" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Hide" : "Each"}<small>{left === 0 ? "✓ all" : `${left} open`}</small></button>
      </div>
      {open && line.placed.map((placed) => <Row key={placed.bed + placed.alarm.alarm} placed={placed} me={me} first={false} more={0} />)}
    </>
  );
}

function Row({ placed, me, first, more }: { placed: Placed; me: Me; first: boolean; more: number }) {
  const { bed, alarm } = placed;
  const { sending, refused, acknowledge } = useAcknowledge(bed, alarm);
  const text = (
    <>
      <b class="symbol" aria-hidden="true">{SYMBOL[alarm.priority]}</b>
      <span class="what">
        <b class="where">{store.label(bed)}</b> <b>{alarm.text || alarm.title}</b>
        <small>
          {PRIORITY[alarm.priority]}{alarm.state === "latched" ? latchedWords(alarm) : ""} since {clockTime(alarm.since)}
          {alarm.state === "acknowledged" && ` ✓ ${alarm.by ?? "acknowledged"}`}
          {more > 0 && <b class="more"> +{more} more</b>}
          {refused !== null && <em role="alert">{refused}</em>}
        </small>
      </span>
    </>
  );
  const look = `row ${alarm.priority} ${alarm.state}`;
  if (!isClinical(me)) return <div class={look}>{text}</div>;
  return (
    <div class={look}>
      <Link to={pathOf(idOf(bed), store.edges.length)} class="to-bed" alarm={first}>{text}</Link>
      {alarm.state !== "acknowledged" && (
        <button class="rail-acknowledge" disabled={sending} onClick={acknowledge} aria-label={`${store.label(bed)}: acknowledge ${alarm.text || alarm.title}`}>
          {sending ? "Sending" : "Acknowledge"}
        </button>
      )}
    </div>
  );
}

function Sound({ me }: { me: Me }) {
  if (!isClinical(me)) return null;
  const states = [...store.states.values()];
  const paused = states.filter((state) => isPaused(state.audio_paused_until, store.edge_ms(keyOf(state))));
  const sounding = states.filter(
    (state) => !paused.includes(state) && state.alarms.some((alarm) => RANK[soundOf(alarm)] > 0),
  );
  const ask = (beds: typeof states, verb: string) => (): void => {
    for (const state of beds) void command(keyOf(state), verb);
  };
  const left_s = Math.max(0, ...paused.map((state) => (Date.parse(state.audio_paused_until ?? "") - (store.edge_ms(keyOf(state)) ?? 0)) / 1000));
  return (
    <div class="sound" aria-label="Alarm sound">
      {paused.length > 0 && (
        <button class="paused" onClick={ask(paused, "audio_resume")}>
          <span aria-hidden="true">‖</span> Sound paused {stopwatch(left_s)}
          <small>{paused.map((state) => store.label(keyOf(state))).join(", ")}: tap to end</small>
        </button>
      )}
      {sounding.length > 0 && <button class="pause" onClick={ask(sounding, "audio_pause")}>Pause sound<small>2 min, all beds</small></button>}
      {paused.length === 0 && sounding.length === 0 && (
        <div class="sound-state">
          <span>{sounder.state === "on" ? "♪ Sound on" : "✕ Sound off"}</span>
          {sounder.state === "on" && <SoundTest />}
        </div>
      )}
    </div>
  );
}

/** Reads out what is new: a HIGH at once, the rest when there is time. */
export function Announcer() {
  const spoken = useRef({ events: new Set<string>(), high: "", rest: "" });
  for (const { bed, alarm } of everywhere()) {
    if (alarm.state !== "active" || spoken.current.events.has(`${bed} ${alarm.seq}`)) continue;
    spoken.current.events.add(`${bed} ${alarm.seq}`);
    const words = `${PRIORITY[alarm.priority]} alarm, ${store.label(bed)}: ${alarm.text || alarm.title}`;
    if (alarm.priority === "high") spoken.current.high = words;
    else spoken.current.rest = words;
  }
  return (
    <>
      <div class="unseen" aria-live="assertive" role="alert">{spoken.current.high}</div>
      <div class="unseen" aria-live="polite">{spoken.current.rest}</div>
    </>
  );
}
