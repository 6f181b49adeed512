/** How large a millimetre is on this screen: a browser cannot know it, so whoever installs it says the diagonal once. */
import { useState } from "preact/hooks";

const KEY = "screen_inch";
const SIZES = ["10.1", "12.9", "13.3", "15.6", "21.5", "24", "27", "32"];

/** Sets --mm, the CSS pixels of a millimetre; without an answer CSS's own guess (96 dpi) stands. */
export function applyScreen(): void {
  const inches = Number(localStorage.getItem(KEY));
  if (!(inches > 5 && inches < 100)) return;
  const pixels = Math.hypot(screen.width, screen.height);
  document.documentElement.style.setProperty("--mm", `${(pixels / (inches * 25.4)).toFixed(3)}px`);
}

export function ScreenSize() {
  const [size, setSize] = useState(localStorage.getItem(KEY) ?? "");
  const choose = (event: Event): void => {
    const chosen = (event.currentTarget as HTMLSelectElement).value;
    if (chosen === "") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
    document.documentElement.style.removeProperty("--mm");
    applyScreen();
    setSize(chosen);
  };
  return (
    <label class="screen-size">
      Screen{" "}
      <select value={size} onChange={choose}>
        <option value="">size not set</option>
        {SIZES.map((inches) => <option key={inches} value={inches}>{inches} inch</option>)}
      </select>
    </label>
  );
}
