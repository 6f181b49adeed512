/** A form over one bed's curves: the live numbers and the alarm rail stay in sight. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Guard } from "./guard.tsx";

let opener: Element | null = null; // what had the focus before the first of the forms that follow each other

export function Sheet(props: { title: string; close: () => void; children: ComponentChildren; foot?: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => { // before anybody can press a key: a later focus would take it from the button it was meant for
    const before = document.activeElement;
    if (before !== document.body && before?.closest(".sheet") === null) opener = before;
    box.current?.focus();
    box.current?.firstElementChild?.scrollIntoView({ block: "nearest" }); // a sheet longer than the screen
    return () => void requestAnimationFrame(() => {
      if (opener instanceof HTMLElement && document.querySelector(".sheet") === null) opener.focus();
    });
  }, []);
  return (
    <div class="sheet" role="dialog" aria-label={props.title} tabIndex={-1} ref={box}>
      <div class="sheet-head"><h2>{props.title}</h2><button onClick={props.close}>Close</button></div>
      <div class="sheet-body"><Guard>{props.children}</Guard></div>
      {props.foot !== undefined && <div class="sheet-foot">{props.foot}</div>}
    </div>
  );
}
