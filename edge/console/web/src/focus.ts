/** Where the keyboard is: with a form open Tab stays with what is in sight, and what vanishes under the focus hands it on. */
const TAKES = ":is(a[href], button, input, select, textarea, summary):not(:disabled)";
const HARMLESS = "a[href], [aria-expanded], summary"; // a second Enter does nothing to a patient and acknowledges nothing unseen; a text field would open a telephone's keys

/** What was in reach when the focus came, the focused one last: what stands before it goes before what stands behind. */
let reach: HTMLElement[] = [];

function all(within: ParentNode): HTMLElement[] {
  return [...within.querySelectorAll<HTMLElement>(TAKES)].filter((one) => one.checkVisibility());
}

function follows(one: Node, other: Node): boolean {
  return (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
}

function remember(event: FocusEvent): void {
  const now = event.target as HTMLElement;
  const near = all(now.closest(".sheet-body, .sheet-foot, .rail, aside, main") ?? document);
  reach = !now.matches(TAKES) ? [] : [...near.filter((one) => follows(now, one)).reverse(), ...near.filter((one) => follows(one, now)), now];
}

/** Over a page Tab goes round: banners, alarms of all beds, the form, and again. What the form hides is left out; Escape closes it. */
function round(event: KeyboardEvent): void {
  if (event.key !== "Tab") return;
  reach = [];
  const sheet = document.querySelector<HTMLElement>(".sheet");
  if (sheet === null) return;
  const ring = all(document).filter((one) => one.closest(".sheet, header, main")?.matches(".sheet") ?? true);
  const from = document.activeElement === document.body ? sheet : document.activeElement ?? sheet;
  const next = event.shiftKey ? ring.findLast((one) => follows(one, from)) ?? ring.at(-1) : ring.find((one) => follows(from, one)) ?? ring[0];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}

/** Gives the focus back after a redraw: to the same, once it takes it again, or to what is harmless and stood nearest, before it rather than behind. */
export function keepFocus(): void {
  const last = reach.at(-1);
  if (last === undefined || document.activeElement !== document.body || (last.isConnected && last.matches(":disabled"))) return;
  const next = reach.findLast((one) => one.isConnected && one.matches(TAKES) && (one === last || one.matches(HARMLESS))) ?? document.querySelector<HTMLElement>(".sheet") ?? document.querySelector<HTMLElement>("main h1");
  next?.focus({ preventScroll: !next.matches(TAKES) }); // what takes keys is in sight; a form or a page does not jump to its head
}

addEventListener("focusin", remember);
addEventListener("keydown", round);
addEventListener("pointerdown", () => { reach = []; });
