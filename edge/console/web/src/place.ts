/** Which view an address asks for. Pure. */
export type Place =
  | { page: "ward"; edge?: string } | { page: "devices" } | { page: "simulation" } | { page: "bed"; bed: string; edge?: string };

export function placeOf(path: string): Place {
  const [, edge, bed] = /^\/bed\/(?:([^/]+)\/)?([^/]+)\/?$/.exec(path) ?? [];
  if (bed !== undefined) return edge === undefined ? { page: "bed", bed: decoded(bed) } : { page: "bed", bed: decoded(bed), edge: decoded(edge) };
  const ward = /^\/ward\/([^/]+)\/?$/.exec(path)?.[1];
  if (ward !== undefined) return { page: "ward", edge: decoded(ward) };
  if (path.startsWith("/simulation")) return { page: "simulation" };
  return path.startsWith("/devices") ? { page: "devices" } : { page: "ward" };
}

/** An address as it was meant; one that is not even an address stays as it came. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % sign
  }
}
