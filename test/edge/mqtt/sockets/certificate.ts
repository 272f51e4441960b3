import { expect } from "bun:test";
import { join } from "node:path";

/** A self-signed certificate for this machine, by openssl. */
export function makeCertificate(directory: string): { readonly certFile: string; readonly keyFile: string } {
  const [certFile, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const files = ["-keyout", keyFile, "-out", certFile];
  const made = Bun.spawnSync(["openssl", ...request.split(" "), ...names, ...files]);
  expect(made.exitCode).toBe(0);
  return { certFile, keyFile };
}
