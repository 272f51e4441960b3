import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError, errorCodeOf } from "#shared/errors";

/** Whether a PEM key is that of a PEM certificate; false also when one of them cannot be read. */
export function isKeyPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/** PEM files a listener or a client of TLS is given. */
export interface TlsFiles {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly caFile?: string | undefined;
}

export interface TlsFault {
  readonly part: keyof TlsFiles;
  readonly file: string;
  /** What is wrong with the file, as in `has no certificate in PEM`. */
  readonly why: string;
}

/** What keeps the files from being used for TLS, at most one fault a file; dates and signers are not looked at. */
export function findTlsFaults(files: TlsFiles): readonly TlsFault[] {
  const { certFile, keyFile, caFile } = files;
  const faults: TlsFault[] = [];
  const look = <T>(
    part: keyof TlsFiles,
    file: string | undefined,
    read: (pem: string) => T,
  ): T | undefined => {
    if (file === undefined) return undefined;
    const seen = readPem(file, read);
    if ("value" in seen) return seen.value;
    faults.push({ part, file, why: seen.why });
    return undefined;
  };
  const cert = look("certFile", certFile, readCertificates)?.[0];
  const key = look("keyFile", keyFile, readPrivateKey);
  look("caFile", caFile, readCertificates);
  if (cert && key && keyFile !== undefined && !cert.checkPrivateKey(key))
    faults.push({
      part: "keyFile",
      file: keyFile,
      why: `is the key of another certificate than ${certFile}`,
    });
  return faults;
}

function readPem<T>(
  file: string,
  read: (pem: string) => T,
): { readonly value: T } | { readonly why: string } {
  let pem: string;
  try {
    pem = readFileSync(file, "utf8");
  } catch (error) {
    const code = errorCodeOf(error);
    return { why: code === "ENOENT" ? "does not exist" : `cannot be read: ${code ?? String(error)}` };
  }
  try {
    return { value: read(pem) };
  } catch (error) {
    return { why: error instanceof ConfigError ? error.message : "is damaged" };
  }
}

const certificates = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[\s\S]+?-----END \1-----/g;
const privateKey = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]+?-----END \1-----/;

function readCertificates(pem: string): X509Certificate[] {
  const found = [...pem.matchAll(certificates)].map(([block]) => block);
  if (found.length === 0)
    throw new ConfigError(
      "bad-pem",
      privateKey.test(pem) ? "has a private key and no certificate" : "has no certificate in PEM",
    );
  return found.map((block) => new X509Certificate(block));
}

function readPrivateKey(pem: string): ReturnType<typeof createPrivateKey> {
  const [block, label] = privateKey.exec(pem) ?? [];
  if (block === undefined)
    throw new ConfigError(
      "bad-pem",
      pem.search(certificates) === -1 ? "has no private key in PEM" : "has a certificate and no private key",
    );
  if (label === "ENCRYPTED PRIVATE KEY" || block.includes("ENCRYPTED"))
    throw new ConfigError("bad-pem", "has a private key that is locked by a password");
  return createPrivateKey(block);
}
