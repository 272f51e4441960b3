import { expect, test } from "bun:test";
import { ensureImage } from "#internal/edge/edged/images/images.ts";

async function outcome(image: string): Promise<string> {
  const found = { id: `sha256:${image}`, names: [image], sizeBytes: 1 };
  const tools = {
    record: () => undefined,
    find: async () => found,
    pull: async () => ({ pullMs: 0, wholeMs: 0 }),
    readPulled: async () => found,
    signal: new AbortController().signal,
  };
  try {
    return (await ensureImage({ name: "c", image, imagePullPolicy: "Never" }, tools)).id;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const digest = `sha256:${"a".repeat(64)}`;

test.each([
  "web",
  "web:1",
  "library/web:v1.2_3-x",
  "host.example:5000/a/b__c.d:1",
  "localhost/a--b",
  "[fd00::1]:5000/a",
  `ghcr.io/Owner/x`.toLowerCase(),
  `GHCR.io/owner/web@${digest}`,
  `web:1@${digest}`,
])("an image reference %p is taken", async (image) => {
  expect(await outcome(image)).toBe(`sha256:${image}`);
});

test.each([
  "",
  "a/../../containers/x",
  "a//b",
  "../x",
  "/x",
  "a/",
  "UPPER/lower/UPPER",
  "a:b:c",
  "a b",
  "a?fromSrc=x",
  "a@sha256:12",
  "a\n",
  "f".repeat(64),
  digest,
  `${"a/".repeat(300)}a`,
])("an image reference %p is refused", async (image) => {
  expect(await outcome(image)).toBe("InvalidImageName");
});

test("an image reference made to be slow is judged at once", async () => {
  const since = performance.now();
  for (const part of ["a-", "a.", "a__", "a/", "a:"]) await outcome(`${part.repeat(250)}!`);
  expect(performance.now() - since).toBeLessThan(200);
});
