/** The two banners that may not be missed: the page is not live; the page cannot sound. */
import { useState } from "preact/hooks";
import { stopwatch } from "./age.ts";
import type { Broken } from "./liveness.ts";
import { notLiveSounds, quietNotLive, sounder, sounds } from "./session.ts";
import { isClinical } from "./feed.ts";
import type { Me } from "./feed.ts";

export function NotLive({ broken }: { broken: Broken | null }) {
  if (broken === null) return null;
  return (
    <section class="banner-not-live" role="alert" data-hop={broken.hop}>
      <strong>{broken.title}</strong>
      <span>{broken.what} Numbers below are old.</span>
      {broken.for_s !== null && <span class="for" aria-live="off">{stopwatch(broken.for_s)}</span>}
      {sounds() && notLiveSounds() && sounder.state === "on" && <button onClick={quietNotLive}>Quiet 2 min</button>}
    </section>
  );
}

export function SoundOff({ me }: { me: Me }) {
  if (!isClinical(me) || sounder.state === "on") return null;
  return (
    <section class="banner-sound" role="alert">
      <button onClick={() => void sounder.test()}>
        <strong>Sound is off: tap to switch on</strong>
        <span>Alarms are shown but not heard on this screen.</span>
      </button>
    </section>
  );
}

/** Plays the tone, lights the three colours, and asks: a sound nobody hears is no sound. */
export function SoundTest() {
  const [asking, setAsking] = useState<"no" | "asking" | "unheard">("no");
  const play = (): void => {
    setAsking("asking");
    void sounder.test();
  };
  if (asking === "no") return <button class="quiet" onClick={play}>Test sound</button>;
  return (
    <div class="sound-test" role="dialog" aria-label="Sound and light test">
      <span class="lamps" aria-hidden="true"><i class="lamp high">!!!</i><i class="lamp medium">!!</i><i class="lamp low">!</i></span>
      {asking === "asking" ? <b>Heard the tone, seen three colours?</b> : <b>Check loudspeaker and volume, then play again.</b>}
      <button onClick={() => setAsking("no")}>{asking === "asking" ? "Yes" : "Close"}</button>
      {asking === "asking" ? <button onClick={() => setAsking("unheard")}>No</button> : <button onClick={play}>Play again</button>}
    </div>
  );
}
