/** The two calls that only a development gateway answers. */

async function post(path: string, body: string): Promise<Record<string, unknown>> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      signal: AbortSignal.timeout(10_000),
    });
  } catch (err) {
    throw new Error(`The gateway does not answer (${err instanceof Error ? err.message : String(err)}).`);
  }
  const answer: unknown = await response.json().catch(() => null);
  if (typeof answer !== "object" || answer === null) throw new Error(`The gateway answered ${response.status} without JSON.`);
  if (!response.ok) {
    const { error } = answer as { error?: { code?: string; message?: string } };
    throw new Error(`${error?.code ?? response.status}: ${error?.message ?? response.statusText}`);
  }
  return answer as Record<string, unknown>;
}

export async function tokenFor(role: string, user: string): Promise<string> {
  return String((await post("/demo/token", JSON.stringify({ role, user_id: user }))).token);
}

/** Sends the data as it was typed: a number that JavaScript would round arrives unrounded. */
export async function publish(event: string, data: string): Promise<string> {
  return String((await post("/demo/publish", `{"event":${JSON.stringify(event)},"data":${data}}`)).id);
}
