/** A part of the page that fails says so in its place, and takes nothing else with it: an error while drawing would leave all of the page as it was. */
import type { ComponentChildren } from "preact";
import { useErrorBoundary } from "preact/hooks";

export function Guard({ children }: { children: ComponentChildren }) {
  const [error] = useErrorBoundary();
  if (error === undefined) return <>{children}</>;
  return <p class="caution" role="alert">➤ This part of the page failed and shows nothing: load the page again, and tell the technician “{String(error)}”. Look at the bedside devices meanwhile.</p>;
}
