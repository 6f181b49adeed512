/** A form over one bed's curves: the live numbers and the alarm rail stay in sight. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Sheet(props: { title: string; close: () => void; children: ComponentChildren; foot?: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    box.current?.focus();
    box.current?.firstElementChild?.scrollIntoView({ block: "nearest" }); // a sheet longer than the screen
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <div class="sheet" role="dialog" aria-label={props.title} tabIndex={-1} ref={box}>
      <div class="sheet-head"><h2>{props.title}</h2><button onClick={props.close}>Close</button></div>
      <div class="sheet-body">{props.children}</div>
      {props.foot !== undefined && <div class="sheet-foot">{props.foot}</div>}
    </div>
  );
}
