import { expect, test } from "bun:test";
import { cpSync, existsSync, renameSync, truncateSync } from "node:fs";
import { join } from "node:path";
import {
  readLinkCredentials,
  writeLinkCredentials,
  type CertificateFiles,
  type LinkCredentials,
} from "#internal/edge/edge-hub/enrollment/certificates.ts";
import { createAuthority } from "#shared/pki";
import { tempDir } from "#internal/test/support/temp-dir.ts";

async function issue(): Promise<LinkCredentials> {
  const nowMs = Date.now();
  const ca = await createAuthority({ commonName: "KubeEdge", days: 1, nowMs });
  const subject = { commonName: "system:node:edge-1" };
  return { ca: ca.certPem, ...(await ca.issue({ subject, usage: "client", days: 1, nowMs })) };
}

function filesIn(folder: string): CertificateFiles {
  return { ca: join(folder, "ca"), cert: join(folder, "cert"), key: join(folder, "key"), fixed: false };
}

test.each([0, 1, 2, 3])(
  "certificates are a pair when the power fails after %d of the renames",
  async (done) => {
    using dir = tempDir();
    const [before, after] = [await issue(), await issue()];
    const [old, fresh] = [join(dir.path, "old"), join(dir.path, "fresh")];
    writeLinkCredentials(filesIn(old), before);
    writeLinkCredentials(filesIn(fresh), after);
    const names = ["key", "cert", "ca"];
    for (const name of names) cpSync(join(fresh, name), join(old, `${name}.new`));
    for (const name of names.slice(0, done)) renameSync(join(old, `${name}.new`), join(old, name));

    const found = readLinkCredentials(filesIn(old));

    // Between certificate and CA the pin of the token does not fit yet, and the node enrolls once more.
    expect(found).toEqual(done === 0 ? before : done === 2 ? { ...after, ca: before.ca } : after);
    expect(existsSync(join(old, "cert.new"))).toBe(done === 0);
  },
);

test("certificates of the configuration are left as they are", async () => {
  using dir = tempDir();
  const [before, after] = [await issue(), await issue()];
  const files = filesIn(dir.path);
  writeLinkCredentials(files, { ...before, key: after.key });
  expect(readLinkCredentials({ ...files, fixed: true })).toEqual({ ...before, key: after.key });
});

test.each(["ca", "cert", "key"] as const)(
  "certificates are refused, naming the file, when the %s was left empty",
  async (name) => {
    using dir = tempDir();
    const files = filesIn(dir.path);
    writeLinkCredentials(files, await issue());
    truncateSync(files[name], 0);
    expect(() => readLinkCredentials(files)).toThrow(
      `"${files[name]}" is damaged; give edgecore a new token`,
    );
  },
);
