import { expect, test } from "bun:test";
import { KubeError } from "#cloud/kube-client";
import { fetchDatabaseName } from "#internal/cloud/commands/adopt/database-name.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

class StartingApi extends FakeKubeClient {
  readonly failures: KubeError[];

  constructor(clock: FakeClock, failures: readonly KubeError[]) {
    super({ clock });
    this.failures = [...failures];
  }

  override get: FakeKubeClient["get"] = async () => {
    const failure = this.failures.shift();
    if (failure) throw failure;
    return { metadata: { name: "kube-system", uid: "database-1" } } as never;
  };
}

async function nameWith(...failures: readonly KubeError[]): Promise<string | undefined> {
  const clock = new FakeClock();
  const name = fetchDatabaseName(new StartingApi(clock, failures), { clock, log: silentLog() });
  await clock.advance(60_000);
  return name;
}

const failed = (status: number): KubeError => new KubeError(status, "Failure", "not now");

test("cloudcore still learns the name of its database when the API server fails at first", async () => {
  expect(await nameWith(failed(500), failed(503), failed(429))).toBe("database-1");
});

test("cloudcore goes on without a name when it may not read it", async () => {
  expect(await nameWith(failed(403))).toBeUndefined();
});
