/** The page's frame: what is always there (banners, rail, footer), and the one view below it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { idOf, matching, pathOf } from "./beds.ts";
import { ADMINISTRATOR, STATEMENT } from "./contract.ts";
import { Bed } from "./bed.tsx";
import { keepFocus } from "./focus.ts";
import { Guard } from "./guard.tsx";
import { NotLive, SoundOff } from "./banner.tsx";
import { Later } from "./later.tsx";
import { Lock } from "./lock.tsx";
import { Login } from "./login.tsx";
import type { Place } from "./place.ts";
import { Announcer, everywhere, Rail } from "./rail.tsx";
import { go, Link, usePlace } from "./router.tsx";
import { signOut } from "./session.ts";
import { store } from "./state.ts";
import { isClinical } from "./feed.ts";
import type { Me } from "./feed.ts";
import { Troubles } from "./troubles.tsx";
import { OldPage } from "./version.tsx";
import { Ward } from "./ward.tsx";
import { SYMBOL } from "./words.ts";

const FIRST = "[data-first=alarm]"; // on a bed's page its own first alarm, elsewhere the rail's

/** Draws the component again whenever the store changed. */
function useStore(): void {
  const [, redraw] = useState(0);
  useEffect(() => store.subscribe(() => redraw((count) => count + 1)), []);
}

/** a: the first alarm that is in sight. w: the ward. 1 to 9: that bed; these two not over a form. None while someone types. */
function useShortcuts(): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.altKey || event.metaKey || target.matches("input, textarea, select")) return;
      const form = document.querySelector(".sheet") !== null;
      if (event.key === "a") (document.querySelector<HTMLElement>(form ? FIRST : `main ${FIRST}`) ?? document.querySelector<HTMLElement>(FIRST))?.focus();
      else if (form) return;
      else if (event.key === "w") go("/");
      else if (/^[1-9]$/.test(event.key) && isClinical(store.me)) {
        const bed = store.beds[Number(event.key) - 1];
        if (bed !== undefined) go(pathOf(idOf(bed), store.edges.length));
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

/** The tab's title: the highest alarm and its bed, readable while another tab is in front. */
function title(): string {
  if (!store.me || store.me.role === ADMINISTRATOR) return "Vigil";
  const first = everywhere()[0];
  if (first === undefined) return store.broken() === null ? "Vigil" : "NOT LIVE - Vigil";
  const { bed, alarm } = first;
  return `${SYMBOL[alarm.priority]} ${store.label(bed)}: ${alarm.text || alarm.title}${store.broken() === null ? "" : " - NOT LIVE"} - Vigil`;
}

/** After a change of page the heading has the focus, so that a keyboard or a screen reader goes on from there. */
function useFocusOnMove(path: string): void {
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    document.querySelector<HTMLElement>("main h1")?.focus();
  }, [path]);
}

export function App() {
  useStore();
  useShortcuts();
  const place = usePlace();
  useFocusOnMove(JSON.stringify(place));
  useEffect(() => {
    document.title = title();
    keepFocus();
  });
  if (store.me === undefined) return <div class="opening" role="status">NOT LIVE: waiting for the console</div>;
  if (store.me === null) return <Login statement={STATEMENT} />;
  if (store.me.role === ADMINISTRATOR) return <Administration me={store.me} />;
  const broken = store.broken();
  return (
    <div class={broken === null ? "frame" : "frame not-live"} data-live={broken === null}>
      <NotLive broken={broken} />
      {broken === null && store.brokenEdges().map((one) => <NotLive key={one.title} broken={one} />)}
      <SoundOff me={store.me} />
      <Lock />
      <OldPage />
      <Troubles />
      <TopBar me={store.me} place={place} />
      <Guard><Rail me={store.me} broken={broken !== null} /></Guard>
      <div class="scroll">
        <main><Guard key={JSON.stringify(place)}><View me={store.me} place={place} /></Guard></main>
        <footer>{STATEMENT}</footer>
      </div>
      {store.isSimulated() && <div class="watermark" aria-hidden="true"><span>SIMULATED - NOT A PATIENT</span></div>}
      <Announcer />
    </div>
  );
}

/** Accounts, and nothing of a bed. */
function Administration({ me }: { me: Me }) {
  return (
    <div class="frame">
      <Lock />
      <header>
        <b class="name">Vigil</b>
        <span class="who">{me.name}{me.name !== me.role && `, ${me.role}`}</span>
        <button class="quiet" onClick={() => void signOut()}>Sign out</button>
      </header>
      <div class="scroll"><main><Later page="accounts" /></main><footer>{STATEMENT}</footer></div>
    </div>
  );
}

function View({ me, place }: { me: Me; place: Place }) {
  if (place.page === "devices" && me.role === "technician") return <Later key="devices" page="devices" />;
  if (place.page === "simulation") return <Later key="simulation" page="simulation" />;
  if (place.page !== "bed") return <Ward me={me} edge={place.page === "ward" ? place.edge : undefined} />;
  const [key, ...others] = matching(store.beds, place.edge ?? null, place.bed);
  if (key !== undefined && others.length === 0 && isClinical(me)) return <Bed key={key} bed={key} />;
  if (key !== undefined && others.length > 0) return <div class="missing"><p role="alert">Several edges have a bed '{place.bed}': choose one.</p><Ward me={me} /></div>;
  if (key !== undefined || store.beds.length === 0) return <Ward me={me} />;
  return <div class="missing"><p role="alert">There is no bed '{place.bed}'.</p><Ward me={me} /></div>;
}

function TopBar({ me, place }: { me: Me; place: Place }) {
  return (
    <header>
      <b class="name">Vigil</b>
      <nav aria-label="Pages">
        <Link to="/" current={place.page === "ward" && place.edge === undefined}>Ward</Link>
        {store.edges.length > 1 && store.edges.map((edge) => (
          <Link key={edge} to={`/ward/${edge}`} current={place.page === "ward" && place.edge === edge}>{edge}</Link>
        ))}
        {me.role === "technician" && <Link to="/devices" current={place.page === "devices"}>Devices</Link>}
        {store.isSimulated() && <Link to="/simulation" current={place.page === "simulation"}>Simulation</Link>}
      </nav>
      {store.isSimulated() && <strong class="simulated">SIMULATED - NOT A PATIENT{store.edgeClock.speed !== 1 && ` - ${store.edgeClock.speed}x speed`}</strong>}
      <span class="who">{me.name}{me.name !== me.role && `, ${me.role}`}</span>
      <button class="quiet" onClick={() => void signOut()}>Sign out</button>
    </header>
  );
}
