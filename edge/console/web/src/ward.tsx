/** The ward: one fixed tile a bed, always in the same place, read in a glance from across the room. */
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { clockTime, gapWords } from "./age.ts";
import { idOf, pathOf } from "./beds.ts";
import { Figure, Further, Pressure } from "./numbers.tsx";
import { Band, phaseWords } from "./phase.tsx";
import { PumpLine, pumpSays } from "./pump.tsx";
import { frameOf, ranked } from "./rank.ts";
import { Link } from "./router.tsx";
import { store } from "./state.ts";
import { unseen } from "./troubles.tsx";
import { isClinical } from "./feed.ts";
import type { BedState, Me } from "./feed.ts";
import { vitalsOf } from "./vocabulary.ts";
import { interlockWords, nextWords, noAlarms, ownLimits, PRIORITY, SYMBOL } from "./words.ts";

/** How many columns fit that many beds, wide and upright. */
function columns(beds: number): { wide: number; upright: number } {
  if (beds <= 1) return { wide: 1, upright: 1 };
  if (beds <= 4) return { wide: 2, upright: beds <= 3 ? 1 : 2 };
  if (beds <= 6) return { wide: 3, upright: 2 };
  if (beds <= 12) return { wide: 4, upright: beds <= 8 ? 2 : 3 };
  return { wide: Math.max(4, Math.min(6, Math.ceil(Math.sqrt(beds)))), upright: 3 };
}

const ROW_PX = 120; // no tile is lower
const GAP_PX = 8;
const PADDING_PX = 12;
const PASSES = 4; // a higher tile has larger words, which may again need more

/**
 * A row is as high as the tile that holds most: what lies over its neighbour cannot be read. It grows and does not
 * shrink again until the screen changes, so that tiles stay in their places. Where not all beds fit, it is as high as
 * makes a whole number of rows fill the screen: none is cut in two.
 */
function useRows(): RefObject<HTMLDivElement | null> {
  const ward = useRef<HTMLDivElement>(null);
  const least_px = useRef(ROW_PX);
  const fit = (): void => {
    const main = ward.current?.closest("main");
    if (!ward.current || !main) return;
    const height = main.clientHeight - PADDING_PX + GAP_PX;
    const rows = Math.max(1, Math.floor(height / (least_px.current + GAP_PX)));
    ward.current.style.setProperty("--least-row", `${least_px.current}px`);
    ward.current.style.setProperty("--row", `${Math.max(least_px.current, Math.floor(height / rows) - GAP_PX)}px`);
  };
  const grow = (): void => {
    for (let pass = 0; pass < PASSES; pass += 1) {
      const needs = [...(ward.current?.children ?? [])].flatMap((tile) => (
        tile instanceof HTMLElement && tile.scrollHeight > tile.clientHeight ? [tile.offsetHeight + tile.scrollHeight - tile.clientHeight] : []));
      const most = Math.max(0, ...needs);
      if (most <= least_px.current) return;
      least_px.current = most;
      fit();
    }
  };
  useLayoutEffect(() => {
    const main = ward.current?.closest("main");
    if (!main) return undefined;
    let width = 0;
    const watcher = new ResizeObserver(() => {
      if (width !== main.clientWidth) least_px.current = ROW_PX;
      width = main.clientWidth;
      fit();
      grow();
    });
    watcher.observe(main);
    return () => watcher.disconnect();
  }, []);
  useLayoutEffect(grow);
  return ward;
}

/** `edge`: only that edge's beds. Alarms of all stay in the rail. */
export function Ward({ me, edge }: { me: Me; edge?: string | undefined }) {
  const beds = store.beds.filter((bed) => edge === undefined || idOf(bed).edge === edge);
  const { wide, upright } = columns(beds.length);
  const ward = useRows();
  return (
    <>
      <h1 class="unseen" tabIndex={-1}>Ward</h1>
      {beds.length === 0 && <p class="empty" role="status">Waiting for the console to name its beds.</p>}
      <div class={`ward wide-${wide} upright-${upright}`} ref={ward}>
        {beds.map((bed) => <Tile key={bed} bed={bed} me={me} />)}
      </div>
    </>
  );
}

function Tile({ bed, me }: { bed: string; me: Me }) {
  const state = store.states.get(bed);
  const vitals = store.vitals.get(bed);
  const context = store.context(bed);
  const metrics = vitalsOf(Object.keys(vitals?.numerics ?? {}));
  const frame = frameOf(state?.alarms ?? []);
  const session = state?.session ?? null;
  const look = `tile frame-${frame.priority}${frame.flashing ? " flashing" : ""}${context.live ? "" : " stale"}`;
  const inside = (
    <>
      <div class="head">
        <b class="bed">{store.label(bed)}</b>
        <span class="patient">{session === null ? "" : state?.patient ?? (isClinical(me) ? "name not recorded" : "")}</span>
        <span class="phase">{state === undefined ? "no data yet" : phaseWords(state, context.live)}</span>
      </div>
      <div class="figures">
        {metrics.filter(({ always }) => always).map((metric) => <Figure key={metric.key} metric={metric} vitals={vitals} context={context} />)}
        <Pressure vitals={vitals} context={context} />
      </div>
      <Further metrics={metrics.filter(({ always }) => !always)} vitals={vitals} context={context} />
      <div class="notes">
        <Band session={session} />
        {ownLimits(session?.limits) !== null && <span class="own-limits" title={ownLimits(session?.limits) ?? ""}>own limits</span>}
        {state !== undefined && !state.live && <span class="last-known">Last known {clockTime(state.at)}</span>}
        <Trouble bed={bed} state={state} />
      </div>
      <PumpLine vitals={vitals} context={context} session={session} devices={state?.devices ?? []} />
      <Headline bed={bed} state={state} live={context.live} other={pumpSays(vitals, state?.devices ?? []) !== null} />
    </>
  );
  const label = `${store.label(bed)}${frame.priority === "none" ? "" : `, ${PRIORITY[frame.priority]} alarm`}`;
  return isClinical(me) ? (
    <div class={look} data-edge={idOf(bed).edge} data-bed={idOf(bed).bed}><Link to={pathOf(idOf(bed), store.edges.length)} class="cover" label={label}> </Link>{inside}</div>
  ) : (
    <div class={look} data-edge={idOf(bed).edge} data-bed={idOf(bed).bed}>{inside}</div>
  );
}

function Trouble({ bed, state }: { bed: string; state: BedState | undefined }) {
  const troubled = unseen(bed, state?.devices ?? []);
  const request = state?.request?.text;
  const gap = state?.gap;
  const stop = interlockWords(state?.interlock);
  if (stop?.urgent === true) return <b class="link stop">⊘ {stop.text}</b>;
  if (troubled[0] !== undefined) return <span class="link">⊘ {troubled[0]}{troubled.length > 1 && `, +${troubled.length - 1}`}</span>;
  if (request) return <span class="request">➤ {request}</span>;
  if (gap) return <span class="gap">⊘ {gapWords(gap)}</span>;
  return stop === null ? null : <span class="request">{stop.text}</span>;
}

/** The bed's first alarm. `other`: the pump line above tells an alarm of the pump's own, so "No alarms" would be untrue. */
function Headline({ bed, state, live, other }: { bed: string; state: BedState | undefined; live: boolean; other: boolean }) {
  const alarms = ranked(state?.alarms ?? []);
  const first = alarms[0];
  if (first === undefined) {
    const next = live ? nextWords(state?.session, store.edge_ms(bed)) : null;
    return <div class="headline none"><span class="what">{state === undefined ? "" : noAlarms(live, other)}{next !== null && <>. <b class="next">{next}</b></>}</span></div>;
  }
  return (
    <div class={`headline ${first.priority} ${first.state}`}>
      <b class="symbol">{SYMBOL[first.priority]}</b>
      <span class="what">
        <b class="level">{PRIORITY[first.priority]}</b> <span class="when">since {clockTime(first.since)}</span>{" "}
        {first.state === "latched" && "Over, not acknowledged: "}
        {first.state === "acknowledged" && `✓ ${first.by ?? "acknowledged"}: `}
        {first.text || first.title}
      </span>
      {alarms.length > 1 && <b class="more">+{alarms.length - 1}<span> more</span></b>}
    </div>
  );
}
