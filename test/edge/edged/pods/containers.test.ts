import { expect, test } from "bun:test";
import { sandboxSpec } from "#internal/edge/edged/pods/container-spec.ts";
import { PodContainers } from "#internal/edge/edged/pods/containers.ts";
import { UnavailableError } from "#shared/errors";
import type { ContainerDetails } from "#edge/runtime";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";

/** Counts inspections; one may fail, or have something happen while it runs. */
class Inspected extends FakeRuntime {
  inspections = 0;
  failsNext = false;
  during: () => void = () => undefined;

  override async inspect(id: string): Promise<ContainerDetails | undefined> {
    this.inspections += 1;
    this.during();
    if (this.failsNext) {
      this.failsNext = false;
      throw new UnavailableError("engine-away", "no answer");
    }
    return super.inspect(id);
  }
}

async function observed() {
  const runtime = new Inspected({ nowMs: () => 1000 });
  const pod = { metadata: { name: "web", namespace: "default", uid: "u" }, spec: { containers: [] } };
  const security = { allowedUnsafeSysctls: [], seccompDir: "", appArmor: false };
  const dns = { servers: [], domain: "" };
  const { id } = await runtime.runSandbox(sandboxSpec(pod, { attempt: 0, dns, security }));
  const containers = new PodContainers(runtime, "u");
  await containers.observe();
  return { runtime, containers, id };
}

test("containers are inspected once while nothing changes", async () => {
  const { runtime, containers, id } = await observed();
  await containers.observe();
  expect([runtime.inspections, containers.all.map((one) => one.id)]).toEqual([1, [id]]);
});

test("a hint has a container inspected by the next observation, and keeps it until then", async () => {
  const { runtime, containers, id } = await observed();
  containers.invalidate(id);
  expect(containers.all.map((one) => one.id)).toEqual([id]);
  await containers.observe();
  await containers.observe();
  expect([runtime.inspections, containers.find(id)?.phase]).toEqual([2, "running"]);
});

test("a hint during an inspection asks for another", async () => {
  const { runtime, containers, id } = await observed();
  containers.invalidate(id);
  runtime.during = () => containers.invalidate(id);
  await containers.observe();
  runtime.during = () => undefined;
  await containers.observe();
  await containers.observe();
  expect(runtime.inspections).toBe(3);
});

test("an inspection that fails keeps the last details and is repeated", async () => {
  const { runtime, containers, id } = await observed();
  runtime.exit(id, 3);
  runtime.failsNext = true;
  await expect(containers.observe()).rejects.toThrow("no answer");
  expect(containers.find(id)?.phase).toBe("running");
  await containers.observe();
  expect(containers.find(id)).toMatchObject({ phase: "exited", exitCode: 3 });
});

test("a removed container is forgotten", async () => {
  const { runtime, containers, id } = await observed();
  await runtime.removeSandbox(id);
  containers.invalidate(id);
  await containers.observe();
  expect([containers.all, containers.find(id)]).toEqual([[], undefined]);
});
