/** Signing in. */
import { useEffect, useState } from "preact/hooks";
import { type DemoLogin, demoLogins } from "./api.ts";
import { ScreenSize } from "./screen.tsx";
import { signIn, wasSignedOut } from "./session.ts";

export function Login({ statement }: { statement: string }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [accounts, setAccounts] = useState<DemoLogin[]>([]);
  useEffect(() => void demoLogins().then(setAccounts), []);
  const enter = async (name: string, password: string): Promise<void> => {
    setBusy(true);
    setProblem(await signIn(name, password));
    setBusy(false);
  };
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    await enter(String(fields.get("name") ?? "").trim(), String(fields.get("password") ?? ""));
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <h1>Vigil</h1>
        <p>Watches over ketamine infusions. This screen shows no patient until you sign in.</p>
        <label>Name<input name="name" autoComplete="username" autoCapitalize="none" required autofocus /></label>
        <label>Password<input name="password" type="password" autoComplete="current-password" required /></label>
        {wasSignedOut() && <p class="problem" role="alert">This screen was signed out: alarms are not heard here. Sign in to go on where you were.</p>}
        {problem !== null && <p class="problem" role="alert">{problem}</p>}
        <button class="go" disabled={busy}>{busy ? "Signing in" : "Sign in"}</button>
      </form>
      {accounts.length > 0 && (
        <div class="accounts">
          <p>A demonstration with simulated patients. Come in as</p>
          {accounts.map(({ name, password, role }) => (
            <button key={name} disabled={busy} onClick={() => void enter(name, password)}>{name}{name !== role && <small> {role}</small>}</button>
          ))}
        </div>
      )}
      <p class="statement">{statement}</p>
      <ScreenSize />
    </main>
  );
}
