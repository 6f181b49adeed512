/** Signing in. */
import { useState } from "preact/hooks";
import { ScreenSize } from "./screen.tsx";
import { signIn } from "./session.ts";

export function Login({ statement }: { statement: string }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setProblem(await signIn(String(fields.get("name") ?? "").trim(), String(fields.get("password") ?? "")));
    setBusy(false);
  };
  return (
    <div class="login">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Vigil</h1>
        <p>Watches over ketamine infusions. This screen shows no patient until you sign in.</p>
        <label>Name<input name="name" autoComplete="username" autoCapitalize="none" required autofocus /></label>
        <label>Password<input name="password" type="password" autoComplete="current-password" required /></label>
        {problem !== null && <p class="problem" role="alert">{problem}</p>}
        <button class="go" disabled={busy}>{busy ? "Signing in" : "Sign in"}</button>
      </form>
      <p class="statement">{statement}</p>
      <ScreenSize />
    </div>
  );
}
