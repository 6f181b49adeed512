/** For the administrator: who may come in, and who did what. A password is typed here and shown nowhere. */
import "./style/accounts.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Account, accounts, type Audit, auditLines, changeAccount } from "./administration.ts";
import { ACCOUNT, type Role, ROLES } from "./contract.ts";
import { checkSignedIn } from "./session.ts";
import { store } from "./state.ts";
import { sentence } from "./words.ts";

type Doing = { how: "add" } | { how: "disable" | "password"; of: Account } | null;

export function Accounts() {
  const [all, setAll] = useState<Account[] | null>(null);
  const [doing, setDoing] = useState<Doing>(null);
  const [told, setTold] = useState("");
  const [changes, setChanges] = useState(0);
  const look = async (): Promise<void> => {
    const found = await accounts();
    if (found === null) return checkSignedIn();
    setAll(found);
  };
  useEffect(() => void look(), [changes]);
  const done = (words: string): void => {
    setDoing(null);
    setTold(words);
    setChanges(changes + 1);
  };
  return (
    <div class="admin">
      <div class="admin-head">
        <h1 tabIndex={-1}>Accounts</h1>
        <button class="go" onClick={() => setDoing({ how: "add" })}>Add an account…</button>
        <a href="#audit">Who did what</a>
      </div>
      {told !== "" && <p role="status">{told}</p>}
      {doing !== null && <Change key={doing.how + (doing.how === "add" ? "" : doing.of.name)} doing={doing} back={() => setDoing(null)} done={done} />}
      {all === null ? <p role="status">Opening</p> : (
        <ul class="account-list">
          {all.map((one) => (
            <li key={one.name} data-account={one.name}>
              <span><b>{one.name}</b><small> {one.role}{one.disabled && ", disabled: a new password lets it in again"}</small></span>
              <button onClick={() => setDoing({ how: "password", of: one })}>New password…</button>
              {!one.disabled && <button onClick={() => setDoing({ how: "disable", of: one })}>Disable…</button>}
            </li>
          ))}
        </ul>
      )}
      <AuditTrail key={changes} />
    </div>
  );
}

function Change({ doing, back, done }: { doing: NonNullable<Doing>; back: () => void; done: (words: string) => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [sending, setSending] = useState(false);
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => head.current?.focus(), []); // it stands above the list, which may be long
  const of = doing.how === "add" ? null : doing.of;
  const title = of === null ? "Add an account" : doing.how === "disable" ? `Disable ${of.name}` : `A new password for ${of.name}`;
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const said = (name: string): string => String(fields.get(name) ?? "");
    const name = of?.name ?? said("name").trim();
    if (doing.how !== "disable" && said("password") !== said("again")) return setProblem("The two passwords differ. Type both again.");
    setSending(true);
    const wrong = await changeAccount(doing.how, {
      name, ...(doing.how === "add" && { role: said("role") as Role }), ...(doing.how !== "disable" && { password: said("password") }),
    });
    setSending(false);
    if (wrong !== null) return setProblem(wrong);
    done(doing.how === "add" ? `${name} can sign in` : doing.how === "disable" ? `${name} is disabled and signed out` : `${name} has a new password and is signed out`);
  };
  return (
    <form class="account-form" aria-label={title} onSubmit={(event) => void submit(event)}>
      <h2 ref={head} tabIndex={-1}>{title}</h2>
      {of === null && (
        <>
          <label>Name<input name="name" autoComplete="off" autoCapitalize="none" required maxLength={ACCOUNT.name_max} /></label>
          <label>Role<select name="role" required>
            <option value="">Choose</option>
            {ROLES.map((role) => <option key={role} value={role}>{sentence(role)}</option>)}
          </select></label>
        </>
      )}
      {doing.how === "disable" ? <p>Nobody can sign in as {of?.name} any more, and screens signed in as {of?.name} are signed out at once.{of?.name === store.me?.name && " That is you."}</p> : (
        <>
          <label>Password<small> at least {ACCOUNT.password_min} characters</small><input name="password" type="password" autoComplete="new-password" required minLength={ACCOUNT.password_min} maxLength={ACCOUNT.password_max} /></label>
          <label>Again<input name="again" type="password" autoComplete="new-password" required /></label>
        </>
      )}
      {problem !== null && <em role="alert">{problem}</em>}
      <div class="account-buttons">
        <button type="button" onClick={back}>Back</button>
        <button class="go" disabled={sending}>{doing.how === "add" ? "Add this account" : doing.how === "disable" ? "Disable this account" : "Set this password"}</button>
      </div>
    </form>
  );
}

function AuditTrail() {
  const [audit, setAudit] = useState<Audit | null>(null);
  const more = async (): Promise<void> => {
    const last = audit?.lines.at(-1)?.n ?? null;
    const next = await auditLines(last);
    if (next === null) return checkSignedIn();
    setAudit({ lines: [...(audit?.lines ?? []), ...next.lines], broken: next.broken });
  };
  useEffect(() => void more(), []);
  const lines = audit?.lines ?? [];
  const first = lines.at(-1)?.n ?? 1;
  return (
    <section class="audit" id="audit" aria-label="Audit">
      <h2>Who did what</h2>
      <ol>
        {lines.map((line) => (
          <li key={line.n} data-line={line.n}>
            <small>{line.at.slice(0, 10)} {line.at.slice(11, 19)} UTC</small> <b>{line.user}</b>: {line.what}
            {line.bed !== null && ` at ${line.bed}${line.edge === null ? "" : ` (${line.edge})`}`}<small>{details(line.detail)}</small>
          </li>
        ))}
      </ol>
      {audit?.broken != null && <p class="problem" role="alert">The record of who did what was changed: {audit.broken}. Tell whoever looks after this console.</p>}
      {audit?.broken === null && first > 1 && <button onClick={() => void more()}>Earlier lines</button>}
    </section>
  );
}

function details(detail: Readonly<Record<string, unknown>>): string {
  const said = Object.entries(detail).filter(([key, value]) => key !== "id" && value !== null && value !== "");
  return said.length === 0 ? "" : ` ${said.map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`).join(", ")}`;
}
