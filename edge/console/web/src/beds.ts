/** A bed is (edge, bed): two edges may both have a chair-1. `key` names one inside the page; only here it is put together. Pure. */
import { sentence } from "./words.ts";

export interface BedId { edge: string; bed: string }

export function keyOf({ edge, bed }: BedId): string {
  return `${edge}/${bed}`;
}

export function idOf(key: string): BedId {
  const [edge = "", bed = ""] = key.split("/");
  return { edge, bed };
}

/** "chair-1" as people say it, with its edge where there are several: "Chair 1 (clinic-2)". */
export function labelOf({ edge, bed }: BedId, name: string | undefined, edges: number): string {
  const label = sentence((name ?? bed).replaceAll("-", " "));
  return edges > 1 ? `${label} (${edge})` : label;
}

/** Where a bed's page is: with one edge the short address of old. */
export function pathOf({ edge, bed }: BedId, edges: number): string {
  return edges > 1 ? `/bed/${edge}/${bed}` : `/bed/${bed}`;
}

/** The beds an address may mean: one where it names the edge, or where only one edge has a bed of that name. */
export function matching(keys: readonly string[], edge: string | null, bed: string): string[] {
  return keys.filter((key) => {
    const id = idOf(key);
    return id.bed === bed && (edge === null || id.edge === edge);
  });
}
