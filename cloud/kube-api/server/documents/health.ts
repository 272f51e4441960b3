/** Something that is checked: why it is not well, or undefined. */
export type HealthCheck = () => Promise<string | undefined> | string | undefined;

/**
 * The answer to `/healthz`, `/livez` or `/readyz`, as `server/healthz` of apiserver gives it: "ok", or each check with
 * `verbose` and when one fails (500). Checks named by `exclude` are left out.
 */
export async function answerHealth(url: URL, checks: ReadonlyMap<string, HealthCheck>): Promise<Response> {
  const root = url.pathname.split("/")[1] ?? "";
  const excluded = new Set(url.searchParams.getAll("exclude").filter((name) => name !== ""));
  const lines: string[] = [];
  let isWell = true;
  for (const [name, check] of checks) {
    const problem = excluded.delete(name) ? excludedCheck : await check();
    isWell &&= problem === undefined || problem === excludedCheck;
    lines.push(lineOf(name, problem));
  }
  const unknown = [...excluded].map((name) => JSON.stringify(name)).join(", ");
  if (unknown !== "") lines.push(`warn: some health checks cannot be excluded: no matches for ${unknown}`);
  if (!isWell) return new Response([...lines, `${root} check failed\n`].join("\n"), { status: 500 });
  return url.searchParams.has("verbose")
    ? new Response([...lines, `${root} check passed\n`].join("\n"))
    : new Response("ok");
}

const excludedCheck = Symbol("excluded");

function lineOf(name: string, problem: string | typeof excludedCheck | undefined): string {
  if (problem === undefined) return `[+]${name} ok`;
  return problem === excludedCheck ? `[+]${name} excluded: ok` : `[-]${name} failed: ${problem}`;
}

/** The answer to one check, `/readyz/ping`; undefined when there is none of that name. */
export async function answerCheck(
  url: URL,
  checks: ReadonlyMap<string, HealthCheck>,
): Promise<Response | undefined> {
  const [, root = "", name = ""] = url.pathname.split("/");
  const check = checks.get(name);
  if (!check) return undefined;
  const problem = await check();
  return problem === undefined
    ? new Response("ok")
    : new Response(`internal server error: ${root} check failed: ${problem}\n`, { status: 500 });
}
