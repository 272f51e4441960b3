import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createAuthority, createToken, type Authority } from "#shared/pki";
import { checkFile, makeFiles, type Files } from "./files.ts";

let files: Files;
let ca: Authority;
beforeAll(async () => {
  files = await makeFiles();
  const nowMs = Date.now();
  ca = await createAuthority({ commonName: "KubeEdge", days: 365, nowMs });
  const subject = { commonName: "system:node:pi-1" };
  const pair = await ca.issue({ subject, hosts: [], usage: "client", days: 365, nowMs });
  mkdirSync(join(files.path, "data/certs"), { recursive: true });
  writeFileSync(join(files.path, "data/certs/rootCA.crt"), ca.certPem);
  writeFileSync(join(files.path, "data/certs/edge.crt"), pair.cert);
});
afterAll(() => files[Symbol.dispose]());

const until = new Date(Date.now() + 365 * 86_400_000).toISOString().slice(0, 10);
const own = "data/certs/edge.crt";

async function look(node: string, edgehub: string): Promise<string[]> {
  const lines = await checkFile(
    files,
    `edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1", ${edgehub} }`,
    node,
  );
  return lines.filter((line) => /node certificate|join token/.test(line));
}

test("check is content with a certificate of the node", async () => {
  expect(await look("pi-1", "token: ''")).toEqual([`ok node certificate system:node:pi-1, until ${until}`]);
});

test("check fails with both names and the fix when the certificate is of another node", async () => {
  expect(await look("pi-9", "token: ''")).toEqual([
    `fail node certificate ${own} is of node "pi-1", this one is "pi-9"; start edgecore with a new token (\`cloudcore token\`) to join again, or give the old name back: edged.hostname-override: pi-1`,
  ]);
});

test("check fails when the token that would get the node its certificate has ended", async () => {
  expect(await look("pi-9", `token: ${createToken(ca, Date.now() - 1000)}`)).toEqual([
    expect.stringMatching(/^fail join token it expired at/),
    expect.stringMatching(/^fail node certificate .* to join again, or give the old name back/),
  ]);
});

test("check accepts a token as the way of a node with another name to its certificate", async () => {
  expect(await look("pi-9", `token: ${createToken(ca, Date.now() + 60_000)}`)).toEqual([
    expect.stringMatching(/^ok join token for the CA/),
    `ok node certificate ${own} is of node "pi-1", this one is "pi-9": the token gets a new one`,
  ]);
});

test("check names the files to replace when the certificate was made elsewhere", async () => {
  const at = join(files.path, own);
  expect(await look("pi-9", `websocket: { certfile: ${at}, keyfile: ${at} }`)).toEqual([
    `fail node certificate ${own} is of node "pi-1", this one is "pi-9"; name files of "pi-9" in edgehub.websocket, or give the old name back: edged.hostname-override: pi-1`,
  ]);
});
