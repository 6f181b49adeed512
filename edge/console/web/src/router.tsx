/** Moving between the addresses of the page without loading it again. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type Place, placeOf } from "./place.ts";

const MOVED = "vigil:moved";

export function go(path: string): void {
  if (path === location.pathname) return;
  history.pushState(null, "", path);
  dispatchEvent(new Event(MOVED));
}

export function usePlace(): Place {
  const [path, setPath] = useState(location.pathname);
  useEffect(() => {
    const moved = (): void => setPath(location.pathname);
    addEventListener("popstate", moved);
    addEventListener(MOVED, moved);
    return () => {
      removeEventListener("popstate", moved);
      removeEventListener(MOVED, moved);
    };
  }, []);
  return placeOf(path);
}

export function Link(props: { to: string; class?: string; label?: string; current?: boolean; alarm?: boolean; children: ComponentChildren }) {
  const follow = (event: MouseEvent): void => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(props.to);
  };
  return (
    <a href={props.to} class={props.class} onClick={follow} aria-label={props.label}
      aria-current={props.current ? "page" : undefined} data-first={props.alarm ? "alarm" : undefined}>
      {props.children}
    </a>
  );
}
