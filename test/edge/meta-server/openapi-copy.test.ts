import { expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenApiCopy } from "#edge/meta-server/cloud";
import { UnavailableError } from "#shared/errors";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Stands for the API: documents by path, and what was asked for. */
class PlayedApi {
  readonly asked: string[] = [];
  hash = "1";
  isAway = false;

  async text(path: string): Promise<string> {
    this.asked.push(path);
    if (this.isAway) throw new UnavailableError("link-down", "there is no link");
    if (path !== "/openapi/v3") return JSON.stringify({ openapi: "3.0.0", info: { version: this.hash } });
    const entry = (name: string): object => ({ serverRelativeURL: `/openapi/v3/${name}?hash=${this.hash}` });
    return JSON.stringify({
      paths: {
        "api/v1": entry("api/v1"),
        "apis/apps/v1": entry("apis/apps/v1"),
        "apis/rules.kubeedge.io/v1": { serverRelativeURL: "https://elsewhere.example/openapi/v3" },
      },
    });
  }
}

const wanted = ["api/v1", "apis/rules.kubeedge.io/v1"];

function openCopy(folder: string): { api: PlayedApi; clock: FakeClock; copy: OpenApiCopy } {
  const [api, clock] = [new PlayedApi(), new FakeClock()];
  return { api, clock, copy: new OpenApiCopy({ api, folder, wanted, clock, log: silentLog() }) };
}

test("documents are kept over a restart, and requested again when their hash changes", async () => {
  using dir = tempDir();
  const folder = join(dir.path, "openapi");
  const { api, clock, copy } = openCopy(folder);
  copy.linkChanged(true);
  await clock.advance(10_000);
  expect(api.asked).toEqual(["/openapi/v3", "/openapi/v3/api/v1?hash=1"]);
  await clock.advance(3_600_000);
  expect(api.asked).toHaveLength(3);
  api.hash = "2";
  await clock.advance(3_600_000);
  expect(api.asked.slice(3)).toEqual(["/openapi/v3", "/openapi/v3/api/v1?hash=2"]);
  await copy[Symbol.asyncDispose]();
  await using later = openCopy(folder).copy;
  expect(later.hashOf("api/v1")).toBe("2");
  expect(later.read("api/v1")).toBe('{"openapi":"3.0.0","info":{"version":"2"}}');
  expect(later.read("apis/rules.kubeedge.io/v1")).toBeUndefined();
});

test("a document is requested later when the API is away, and not without a link", async () => {
  using dir = tempDir();
  const { api, clock, copy } = openCopy(dir.path);
  await using _ = copy;
  api.isAway = true;
  copy.linkChanged(true);
  await clock.advance(10_000);
  api.isAway = false;
  copy.linkChanged(false);
  await clock.advance(10_000_000);
  expect(api.asked).toEqual(["/openapi/v3"]);
  copy.linkChanged(true);
  await clock.advance(10_000);
  expect(copy.hashOf("api/v1")).toBe("1");
});

test("a damaged document is none, and is kept again", async () => {
  using dir = tempDir();
  const { api, clock, copy } = openCopy(dir.path);
  await using _ = copy;
  copy.linkChanged(true);
  await clock.advance(10_000);
  for (const name of readdirSync(dir.path)) writeFileSync(join(dir.path, name), "not what was written");
  expect(copy.read("api/v1")).toBeUndefined();
  await clock.advance(3_600_000);
  expect(api.asked).toHaveLength(4);
  expect(copy.read("api/v1")).toContain("openapi");
  await using later = openCopy(dir.path).copy;
  expect(later.hashOf("api/v1")).toBe("1");
});
