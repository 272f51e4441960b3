import { expect, test } from "bun:test";
import { UrlPoster } from "#internal/cloud/router/senders/url-poster.ts";
import { systemClock } from "#shared/clock";
import { AppError } from "#shared/errors";

const body = new TextEncoder().encode("x");

async function codeOf(url: string, allowLocal: boolean): Promise<unknown> {
  try {
    const poster = new UrlPoster(systemClock, { allowLocal });
    return (await poster.post({ url, headers: {}, body, timeoutMs: 1000 })).status;
  } catch (error) {
    return error instanceof AppError ? error.code : error;
  }
}

test.each([
  "http://127.0.0.1:1/",
  "http://127.1:1/",
  "http://2130706433:1/",
  "http://localhost:1/",
  "http://[::1]:1/",
  "http://[::ffff:127.0.0.1]:1/",
  "http://0.0.0.0:1/",
  "http://[::]:1/",
  "http://169.254.169.254/latest/meta-data",
  "http://[fe80::1]/",
])("a rule must not post to %s, which only this machine reaches", async (url) => {
  expect(await codeOf(url, false)).toBe("refused-address");
});

test("a target on this machine is allowed where the configuration says so, and redirects are not followed", async () => {
  let redirected = 0;
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      if (new URL(request.url).pathname === "/there") redirected += 1;
      return new Response(null, { status: 302, headers: { location: "/there" } });
    },
  });
  expect([await codeOf(`http://127.0.0.1:${server.port}/`, true), redirected]).toEqual([302, 0]);
});

test("a target that does not answer in time is a timeout", async () => {
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Promise(() => undefined),
  });
  expect(await codeOf(`http://127.0.0.1:${server.port}/`, true)).toBe("timeout");
});
