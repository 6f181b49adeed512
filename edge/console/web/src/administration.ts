/** What the administrator's page asks of the console. */
import { problemWords, read, request } from "./api.ts";
import type { Role } from "./contract.ts";

export interface Account { name: string; role: Role; disabled: boolean; made_at: string }
export interface AuditLine {
  n: number; at: string; user: string; what: string; edge: string | null; bed: string | null; detail: Readonly<Record<string, unknown>>;
}
export interface Audit { lines: AuditLine[]; broken: string | null }

/** Every account; null: they cannot be asked for now. */
export async function accounts(): Promise<Account[] | null> {
  return read<Account[]>(await request("GET", "/api/accounts"));
}

/** For the administrator. null: done, else why not. */
export async function changeAccount(how: "add" | "disable" | "password", body: { name: string; role?: Role; password?: string }): Promise<string | null> {
  const response = await request("POST", `/api/accounts/${how}`, body);
  return response?.ok === true ? null : problemWords(await read(response, true)) ?? "The console does not answer. Try again.";
}

/** The last lines of the audit below number `before`, newest first; null: it cannot be read now. */
export async function auditLines(before: number | null): Promise<Audit | null> {
  return read<Audit>(await request("GET", `/api/audit${before === null ? "" : `?before=${before}`}`));
}
