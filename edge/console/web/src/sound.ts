/** What sounds for a priority. The tones themselves are the contract's, and the box sounds the same. */
import { type Burst, BURSTS } from "./contract.ts";
import type { Priority } from "./feed.ts";

export { type Burst, FUNDAMENTAL_HZ, HARMONICS, INFORMATION, type Pulse } from "./contract.ts";

/** The burst for a priority, and the silence from its end to the start of the next; null: nothing sounds. */
export function schedule(priority: Priority): Burst | null {
  return priority === "none" ? null : BURSTS[priority];
}
