/** Where the page starts. */
import { render } from "preact";
import "./style/base.css";
import "./style/alarms.css";
import "./style/ward.css";
import "./style/bed.css";
import "./style/forms.css";
import { App } from "./app.tsx";
import { applyScreen } from "./screen.tsx";
import { start } from "./session.ts";

applyScreen();
start();
const root = document.getElementById("page");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
}
