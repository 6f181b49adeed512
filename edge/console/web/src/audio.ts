/** Makes the alarm tones audible: bursts set on the audio clock, heard back through an analyser before they are reported. */
import { RANK } from "./rank.ts";
import { type Burst, FUNDAMENTAL_HZ, HARMONICS, INFORMATION, schedule } from "./sound.ts";
import type { Sounding } from "./state.ts";
import type { Priority } from "./feed.ts";

export type SoundState = "on" | "blocked";

const LEAD_S = 0.03;
const AHEAD_S = 1.2; // the next burst is set this early, so a slow tick cannot delay it
const STUCK_S = 2; // an audio clock that stands still plays nothing, whatever its state says
const HEARD = 0.01; // peak, full scale 1

/** What is to sound, and every alarm event that sounding announces. */
export interface Wanted { priority: Priority; sounding: readonly Sounding[] }

function nameOf({ edge, seq }: Sounding): string {
  return `${edge}/${seq}`;
}

interface Playing { priority: Priority; from_s: number; until_s: number; next_s: number; nodes: Voice[] }
interface Voice { tone: OscillatorNode; envelope: GainNode; until_s: number }

export class Sounder {
  state: SoundState = "blocked";
  /** The bursts started since the page opened, for whoever tests that they sound. */
  bursts = 0;
  /** The information signals, likewise. */
  informed = 0;
  onState: (state: SoundState) => void = () => undefined;
  onSounded: (event: Sounding) => void = () => undefined;

  #context: AudioContext | null = null;
  #analyser: AnalyserNode | null = null;
  #wave: PeriodicWave | null = null;
  #playing: Playing | null = null;
  #announced = new Set<string>();
  #clock = { audio_s: -1, at_ms: 0 };
  #frozen = false;

  /** Tries to start the sound; a browser allows it only after a tap, or where the clinic's policy says so. */
  async enable(): Promise<void> {
    if (this.#context?.state === "closed" || this.#frozen) this.#renew();
    this.#open();
    await this.#context?.resume().catch(() => undefined);
    this.tick({ priority: "none", sounding: [] }, performance.now(), false);
  }

  /** Plays one medium burst, so that a person can say whether they hear it. */
  async test(): Promise<void> {
    await this.enable();
    const burst = schedule("medium");
    if (burst !== null && this.#context !== null && this.#playing === null) this.#play(burst, this.#context.currentTime + LEAD_S);
  }

  /** Plays the information signal once, where no alarm sounds: an alarm matters more. */
  inform(): void {
    if (this.#context === null || this.state !== "on" || this.#playing !== null) return;
    this.#play(INFORMATION, this.#context.currentTime + LEAD_S);
    this.informed += 1;
  }

  /** A new connection: the server does not know what the old one reported. */
  forgetReports(): void {
    this.#announced.clear();
  }

  /** Called often. `sound` false: keep quiet (signed out) but keep watching the context. */
  tick(wanted: Wanted, now_ms: number, sound = true): void {
    this.#judge(now_ms);
    const context = this.#context;
    if (context === null || this.state !== "on") return;
    const now_s = context.currentTime;
    if (wanted.priority === "none" || !sound) {
      this.#cut(now_s);
      return;
    }
    this.#next(wanted, now_s);
    if (this.#isHeard(now_s)) {
      for (const event of wanted.sounding) {
        if (this.#announced.has(nameOf(event))) continue;
        this.#announced.add(nameOf(event));
        this.onSounded(event);
      }
    }
  }

  #next(wanted: Wanted, now_s: number): void {
    const burst = schedule(wanted.priority);
    if (burst === null) return;
    const playing = this.#playing;
    const sounding = playing !== null && now_s < playing.until_s;
    const higher = playing !== null && RANK[wanted.priority] > RANK[playing.priority];
    const unheard = wanted.sounding.some((event) => !this.#announced.has(nameOf(event)));
    if (playing === null || higher || (unheard && !sounding && now_s < playing.next_s - AHEAD_S)) {
      this.#cut(now_s);
      this.#begin(wanted.priority, burst, now_s + LEAD_S, []);
    } else if (now_s > playing.next_s - AHEAD_S) {
      const late = now_s > playing.next_s - LEAD_S;
      this.#begin(wanted.priority, burst, late ? now_s + LEAD_S : playing.next_s, playing.nodes);
    }
  }

  #begin(priority: Priority, burst: Burst, from_s: number, earlier: Voice[]): void {
    const until_s = from_s + burst.length_s;
    const still = earlier.filter((voice) => voice.until_s > from_s - AHEAD_S);
    this.#playing = { priority, from_s, until_s, next_s: until_s + burst.silence_s, nodes: [...still, this.#play(burst, from_s)] };
    this.bursts += 1;
  }

  #play(burst: Burst, from_s: number): Voice {
    const context = this.#context as AudioContext;
    const tone = context.createOscillator();
    const envelope = context.createGain();
    tone.setPeriodicWave(this.#wave as PeriodicWave);
    tone.frequency.value = FUNDAMENTAL_HZ;
    envelope.gain.setValueAtTime(0, from_s);
    for (const pulse of burst.pulses) {
      const at_s = from_s + pulse.start_s;
      const end_s = at_s + pulse.duration_s;
      envelope.gain.setValueAtTime(0, at_s);
      envelope.gain.linearRampToValueAtTime(pulse.gain, at_s + pulse.rise_s);
      envelope.gain.setValueAtTime(pulse.gain, end_s - pulse.fall_s);
      envelope.gain.linearRampToValueAtTime(0, end_s);
    }
    tone.connect(envelope).connect(this.#analyser as AnalyserNode);
    tone.start(from_s);
    tone.stop(from_s + burst.length_s + 0.05);
    return { tone, envelope, until_s: from_s + burst.length_s };
  }

  #cut(now_s: number): void {
    for (const { tone, envelope, until_s } of this.#playing?.nodes ?? []) {
      if (until_s < now_s) continue;
      envelope.gain.cancelScheduledValues(now_s);
      envelope.gain.setTargetAtTime(0, now_s, 0.008);
      tone.stop(now_s + 0.05);
    }
    this.#playing = null;
  }

  #isHeard(now_s: number): boolean {
    const playing = this.#playing;
    if (playing === null || this.#analyser === null || now_s < playing.from_s || now_s > playing.until_s) return false;
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    return samples.some((sample) => Math.abs(sample) > HEARD);
  }

  #judge(now_ms: number): void {
    const context = this.#context;
    const audio_s = context?.currentTime ?? -1;
    if (audio_s !== this.#clock.audio_s) this.#clock = { audio_s, at_ms: now_ms };
    const stuck = now_ms - this.#clock.at_ms > STUCK_S * 1000;
    this.#frozen = context?.state === "running" && stuck;
    const state: SoundState = context?.state === "running" && !stuck ? "on" : "blocked";
    if (state === this.state) return;
    this.state = state;
    if (state === "blocked") this.#playing = null;
    this.onState(state);
  }

  /** A context that the browser closed, or whose clock stands still while it says it runs, plays nothing more: another takes its place. */
  #renew(): void {
    const old = this.#context;
    this.#context = this.#analyser = this.#wave = this.#playing = null;
    this.#clock = { audio_s: -1, at_ms: performance.now() };
    this.#frozen = false;
    if (old !== null && old.state !== "closed") void old.close().catch(() => undefined);
  }

  #open(): void {
    if (this.#context !== null || typeof AudioContext === "undefined") return;
    const context = new AudioContext();
    this.#context = context;
    this.#analyser = context.createAnalyser();
    this.#analyser.connect(context.destination);
    const imaginary = new Float32Array([0, ...HARMONICS]);
    this.#wave = context.createPeriodicWave(new Float32Array(imaginary.length), imaginary, { disableNormalization: true });
  }
}
