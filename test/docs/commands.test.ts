import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { needsCommands } from "#internal/test/support/needs.ts";
import { hasPair } from "#internal/test/support/pair.ts";
import { startDemoView, type DemoView } from "./demo-view.ts";
import { readPages } from "./markdown.ts";
import { runPage, runnable } from "./page-run.ts";

setDefaultTimeout(60_000);

function hasParts(): boolean {
  return hasPair() && needsCommands("bash", "curl", "mosquitto_pub", "timeout");
}

describe.skipIf(!hasParts())("commands of the documentation", () => {
  let view: DemoView;
  beforeAll(async () => {
    view = await startDemoView();
  });
  afterAll(() => view[Symbol.asyncDispose]());

  const pages = readPages().filter((page) => runnable(page).length > 0);
  test.each(pages.map((page) => [page.file, page] as const))(
    "commands of %s have the results of the page when run in order",
    async (_file, page) => {
      const problems = await runPage(page, view);
      if (problems.length > 0) problems.push(await view.cluster.kubectl("get", "pods,events", "-o", "wide"));
      expect(problems).toEqual([]);
    },
  );
});
