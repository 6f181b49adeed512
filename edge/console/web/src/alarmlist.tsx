/** One bed's alarms: what each means, and one tap to acknowledge one. Nothing here ends an alarm: its condition does. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { clockTime, stopwatch } from "./age.ts";
import { useAcknowledge } from "./acknowledge.ts";
import { command } from "./api.ts";
import { pumpSays } from "./pump.tsx";
import { isPaused, ranked, soundOf } from "./rank.ts";
import { silence } from "./silence.ts";
import { store } from "./state.ts";
import type { Alarm, BedState } from "./feed.ts";
import { CommentForm, Comments, DelegationLine, Told } from "./attention.tsx";
import { isShelved, Shelve, ShelvedList } from "./shelf.tsx";
import { noAlarms, PRIORITY, refusal, signalWords, SYMBOL } from "./words.ts";

export function AlarmList({ bed, state }: { bed: string; state: BedState | undefined }) {
  const alarms = ranked(state?.alarms ?? []);
  const patient = alarms.filter((alarm) => alarm.class !== "technical");
  const equipment = alarms.filter((alarm) => alarm.class === "technical");
  const rows = useRef<HTMLDivElement>(null);
  const [unseen, setUnseen] = useState<Hidden>(NONE);
  const measure = (): void => {
    const now = rows.current === null ? NONE : hiddenIn(rows.current, unseen.above + unseen.below > 0);
    setUnseen((before) => (before.above === now.above && before.below === now.below ? before : now));
  };
  useLayoutEffect(measure);
  const turn = (down: boolean): void => {
    const list = rows.current;
    list?.scrollBy({ top: (down ? 1 : -1) * Math.max(60, list.clientHeight - 40) });
    measure(); // at once: a second tap is not to turn back
  };
  return (
    <section class="alarm-list" aria-label="Alarms of this bed">
      <div class="alarm-list-head"><h2>Alarms</h2><Pause bed={bed} state={state} alarms={alarms} /></div>
      <div class="alarm-rows" ref={rows} onScroll={measure}>
        {alarms.length === 0 && <p class="calm">{state === undefined ? "Not known yet" : noAlarms(store.context(bed).live, pumpSays(store.vitals.get(bed), state.devices) !== null)}</p>}
        {patient.length > 0 && <h3>Patient</h3>}
        {patient.map((alarm) => <Row key={alarm.alarm} bed={bed} alarm={alarm} />)}
        {equipment.length > 0 && <h3>Equipment</h3>}
        {equipment.map((alarm) => <Row key={alarm.alarm} bed={bed} alarm={alarm} />)}
        <DelegationLine bed={bed} delegation={state?.delegation} />
        <ShelvedList bed={bed} shelved={state?.shelved ?? []} />
      </div>
      <Unseen {...unseen} turn={turn} />
    </section>
  );
}

interface Hidden { above: number; below: number }
const NONE: Hidden = { above: 0, below: 0 };
const CUT_PX = 4;
const BUTTON_PX = 52; // what the button that counts them itself takes from the list

/** How many alarms the list's own edges cut off. `shown`: the button stands; none is cut off if they fit without it. */
function hiddenIn(rows: HTMLElement, shown: boolean): Hidden {
  if (shown && rows.scrollHeight <= rows.clientHeight + BUTTON_PX) return NONE;
  const box = rows.getBoundingClientRect();
  const articles = [...rows.querySelectorAll("article")].map((article) => article.getBoundingClientRect());
  const above = articles.filter(({ top }) => top < box.top - CUT_PX).length;
  return { above, below: articles.filter(({ top, bottom }) => top >= box.top - CUT_PX && bottom > box.bottom + CUT_PX).length };
}

/** No alarm is scrolled away in silence: what the list has no room for is counted, and one tap away. */
function Unseen({ above, below, turn }: Hidden & { turn: (down: boolean) => void }) {
  if (above + below === 0) return null;
  const down = below > 0;
  const left = down ? below : above;
  return <button class="unseen-alarms" onClick={() => turn(down)}>{down ? "▾" : "▴"} {left} more {left === 1 ? "alarm" : "alarms"} {down ? "below" : "above"}</button>;
}

function Pause({ bed, state, alarms }: { bed: string; state: BedState | undefined; alarms: Alarm[] }) {
  const [problem, setProblem] = useState<string | null>(null);
  const ask = async (verb: string): Promise<void> => {
    const answer = await command(bed, verb);
    setProblem(answer.ok ? null : refusal(answer));
  };
  const edge_ms = store.edge_ms(bed);
  const until = state?.audio_paused_until ?? null;
  if (isPaused(until, edge_ms)) {
    const left_s = (Date.parse(until ?? "") - (edge_ms ?? 0)) / 1000;
    return <button class="paused" onClick={() => void ask("audio_resume")}>‖ Paused {stopwatch(left_s)}<small>tap to end</small></button>;
  }
  if (alarms.every((alarm) => soundOf(alarm) === "none")) return null;
  return <>{problem !== null && <em role="alert">{problem}</em>}<button class="pause" onClick={() => void ask("audio_pause")}>Pause sound 2 min</button></>;
}

function Row({ bed, alarm }: { bed: string; alarm: Alarm }) {
  const [wide, setWide] = useState(false);
  const { sending, refused, acknowledge } = useAcknowledge(bed, alarm);
  const silent = silence(bed, alarm);
  return (
    <article class={`alarm ${alarm.priority} ${alarm.state}`} data-alarm={alarm.alarm} data-state={alarm.state}>
      <button class="tell" aria-expanded={wide} onClick={() => setWide(!wide)}>
        <b class="symbol" aria-hidden="true">{SYMBOL[alarm.priority]}</b>
        <span>
          <b class="text">{alarm.text || alarm.title}</b>
          <small>{PRIORITY[alarm.priority]} since {clockTime(alarm.since)}{alarm.limit !== null && `, limit ${alarm.limit}`} <span class="why">{wide ? "▴" : "▾ why"}</span></small>
        </span>
      </button>
      <Answered alarm={alarm} sending={sending} acknowledge={acknowledge} />
      {alarm.worst !== undefined && <p class="fallen">{SYMBOL[alarm.worst.priority]} It was {PRIORITY[alarm.worst.priority]}, and nobody has acknowledged that: {alarm.worst.text}</p>}
      {silent !== null && <p class="silent">⊘ {silent}</p>}
      <Told bed={bed} alarm={alarm} />
      <Comments alarm={alarm} />
      {refused !== null && <p class="refused" role="alert">{refused}</p>}
      {wide && <Meaning alarm={alarm} />}
      {wide && <CommentForm bed={bed} alarm={alarm} />}
      {wide && alarm.class === "technical" && alarm.priority !== "high" && !isShelved(bed, alarm) && <Shelve bed={bed} alarm={alarm} />}
    </article>
  );
}

function Answered({ alarm, sending, acknowledge }: { alarm: Alarm; sending: boolean; acknowledge: () => void }) {
  if (alarm.state === "acknowledged") {
    return <span class="tick">✓ {alarm.by ?? "acknowledged"}<small>{clockTime(alarm.acknowledged_at)}</small></span>;
  }
  return (
    <button class="acknowledge" data-first="alarm" disabled={sending} onClick={acknowledge} aria-label={`Acknowledge: ${alarm.text || alarm.title}`}>
      {sending ? "Sending" : "Acknowledge"}
      {alarm.state === "latched" && <small>{soundOf(alarm) === "none" ? "is over" : "is over, sounds on"}</small>}
    </button>
  );
}

function Meaning({ alarm }: { alarm: Alarm }) {
  return (
    <dl class="meaning">
      {alarm.title !== "" && <><dt>Rule</dt><dd>{alarm.title} ({alarm.rule})</dd></>}
      {alarm.limit !== null && <><dt>Limit</dt><dd>{alarm.limit}</dd></>}
      {alarm.why !== "" && <><dt>Why</dt><dd>{alarm.why}</dd></>}
      {alarm.clears !== "" && <><dt>Ends when</dt><dd>{alarm.clears}</dd></>}
      {alarm.signals !== undefined && <><dt>Signals</dt><dd>{signalWords(alarm.signals)}</dd></>}
    </dl>
  );
}
