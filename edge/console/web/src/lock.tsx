/** What a screen says when its sign-in ends: warned before, then locked. Alarms and sound go on, and so does what is shown. */
import { useState } from "preact/hooks";
import { stopwatch } from "./age.ts";
import { lease, renew, unlockWith } from "./session.ts";

export function Lock() {
  const now = lease();
  if (now.state === "ending") {
    return (
      <section class="banner-lock" role="alert">
        <strong>This screen locks in <span aria-live="off">{stopwatch(now.left_ms / 1000)}</span></strong>
        <span>Alarms and sound go on. Locked, it takes no entries.</span>
        <button onClick={() => void renew()}>Stay signed in</button>
      </section>
    );
  }
  return now.state === "locked" ? <Unlock /> : null;
}

function Unlock() {
  const [problem, setProblem] = useState<string | null>(null);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    setProblem(await unlockWith(String(new FormData(form).get("password") ?? "")));
    form.reset();
  };
  return (
    <section class="banner-lock" role="alert">
      <strong>Locked: alarms and sound go on</strong>
      <form onSubmit={(event) => void submit(event)}>
        <label>Password<input name="password" type="password" autoComplete="current-password" required /></label>
        <button class="go">Unlock</button>
      </form>
      {problem !== null && <em>{problem}</em>}
    </section>
  );
}
