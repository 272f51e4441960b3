import { processRuntime } from "#internal/test/support/machine/processes.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";

/** A process that runs a program as edgecore does, to be killed at some moment: prints what it has done. */
const [dataDir = "", owner = "", script = ""] = process.argv.slice(2);
const pod = Object.assign(
  new PodUnderTest(processRuntime(dataDir, { owner }), "process:///bin/sh", { kind: "host" }),
  {
    uid: "killed",
  },
);
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const spec = await pod.spec("c", { command: ["/bin/sh", "-c", script] });
say("sandbox");
const id = await pod.runtime.create(spec);
say("created");
const started = pod.runtime.start(id);
say("starting");
await started;
say("started");
await Bun.sleep(300);
say("stopping");
await pod.runtime.stop(id, 1);
say("stopped");
const removed = pod.runtime.remove(id);
say("removing");
await removed;
say("removed");
