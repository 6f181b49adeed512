/** Whether what the page shows is live, and if not, which hop broke. Pure. */
import type { EdgeHealth, Hops } from "./feed.ts";

export const SILENT_S = 3; // a beat comes every second
export const BEHIND_S = 3;

export interface Broken { hop: "page" | "console" | "broker" | "edge"; title: string; what: string; for_s: number | null }

export interface Feed {
  /** Real seconds since the server said anything; null if it never did. */
  silent_s: number | null;
  /** The connection is gone; another is being tried. There is no need to wait for silence to say so. */
  closed?: boolean;
  /** Real seconds by which what arrives is late. */
  behind_s: number;
  hops: Hops | null;
  /** Edge time, for how long a hop has been broken. */
  edge_ms: number | null;
}

function forSeconds(since: string | null | undefined, edge_ms: number | null): number | null {
  const at = since ? Date.parse(since) : Number.NaN;
  return edge_ms === null || Number.isNaN(at) ? null : Math.max(0, (edge_ms - at) / 1000);
}

/** The broken hop nearest to the reader, or null if all is live. */
export function brokenHop(feed: Feed): Broken | null {
  if (feed.silent_s === null) {
    return { hop: "page", title: "NOT LIVE: connecting to the console", what: "Nothing has been received yet.", for_s: null };
  }
  if (feed.closed === true || feed.silent_s > SILENT_S) {
    return {
      hop: "page", title: "NOT LIVE: this screen has lost the console",
      what: "Screen to console is broken. Go to the patient and read the devices.", for_s: feed.silent_s,
    };
  }
  if (feed.behind_s > BEHIND_S) {
    return {
      hop: "page", title: `NOT LIVE: this screen is ${Math.round(feed.behind_s)} s behind`,
      what: "Catching up with the console. Read the devices.", for_s: null,
    };
  }
  const hops = feed.hops;
  if (hops === null) return { hop: "page", title: "NOT LIVE: connecting to the console", what: "Waiting for its first beat.", for_s: null };
  if (!hops.console.ok) {
    return {
      hop: "console", title: "NOT LIVE: the console is in trouble", what: "The console reports a fault of its own. Read the devices.",
      for_s: forSeconds(hops.console.since, feed.edge_ms),
    };
  }
  if (!hops.broker.ok) {
    return {
      hop: "broker", title: "NOT LIVE: the message broker is down",
      what: "Broker to console is broken. The edge keeps recording. Read the devices.", for_s: forSeconds(hops.broker.since, feed.edge_ms),
    };
  }
  if (!hops.edge.ok) {
    return {
      hop: "edge", title: "NOT LIVE: the edge is silent",
      what: "The edge box, which reads the devices, does not answer. Read the devices.", for_s: forSeconds(hops.edge.since, feed.edge_ms),
    };
  }
  return null;
}

/** What is broken of one edge among several; null: it is live, or nothing is known of it yet. */
export function brokenEdge(name: string, health: EdgeHealth | undefined, edge_ms: number | null): Broken | null {
  if (health === undefined || (health.broker.ok && health.edge.ok)) return null;
  const part = health.broker.ok ? health.edge : health.broker;
  return {
    hop: health.broker.ok ? "edge" : "broker", title: `NOT LIVE: ${name} ${health.broker.ok ? "is silent" : "cannot be reached"}`,
    what: `The beds of ${name} are not live. Read the devices there.`, for_s: forSeconds(part.since, edge_ms),
  };
}
