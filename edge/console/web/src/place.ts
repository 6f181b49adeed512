/** Which view an address asks for. Pure. */
export type Place = { page: "ward" } | { page: "devices" } | { page: "simulation" } | { page: "bed"; bed: string };

export function placeOf(path: string): Place {
  const bed = /^\/bed\/([^/]+)\/?$/.exec(path)?.[1];
  if (bed !== undefined) return { page: "bed", bed: decoded(bed) };
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
