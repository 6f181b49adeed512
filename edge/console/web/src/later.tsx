/** What a page need not have from the start is loaded when it is asked for. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

const LATER: Record<"accounts" | "simulation" | "devices" | "events", () => Promise<ComponentType<{ bed: string }>>> = {
  accounts: async () => (await import("./accounts.tsx")).Accounts,
  simulation: async () => (await import("./simulation.tsx")).Simulation,
  devices: async () => (await import("./devices.tsx")).Devices,
  events: async () => (await import("./events.tsx")).Events,
};

/** `bed`: for what is about one. */
export function Later({ page, bed = "" }: { page: keyof typeof LATER; bed?: string }) {
  const [Loaded, setLoaded] = useState<ComponentType<{ bed: string }> | null | undefined>(undefined);
  useEffect(() => void LATER[page]().then((loaded) => setLoaded(() => loaded), () => setLoaded(null)), []);
  if (Loaded === null) return <p role="alert">The console does not answer now. Go back, and try again.</p>;
  return Loaded === undefined ? <p role="status">Opening</p> : <Loaded bed={bed} />;
}
