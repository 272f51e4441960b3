import type { EdgeConfig } from "#shared/config";
import { ConfigError } from "#shared/errors";
import { findTlsFaults, type TlsFault, type TlsFiles } from "#shared/pki";

/** Files of `edge.yaml` that belong together. */
export interface NamedFiles {
  /** Section of the file they are named in. */
  readonly section: string;
  readonly files: TlsFiles;
}

/** The files of each broker that is in use. */
export function mqttFiles(config: EdgeConfig): readonly NamedFiles[] {
  const { external } = config.mqtt;
  return [...brokerFiles(config), ...(external ? [{ section: "mqtt", files: external }] : [])];
}

function brokerFiles({ mqtt: { broker } }: EdgeConfig): readonly NamedFiles[] {
  return broker ? [{ section: "mqtt.broker", files: broker }] : [];
}

const keys = { certFile: "certfile", keyFile: "keyfile", caFile: "cafile" } as const;

/** The field of `edge.yaml` that names a file, e.g. `mqtt.broker.certfile`. */
export function fieldOf(section: string, part: keyof TlsFiles): string {
  return `${section}.${keys[part]}`;
}

/** How to fix it. */
export function wayOut(section: string, { part }: TlsFault): string {
  const certificate = fieldOf(section, "certFile");
  const wanted = {
    certFile: "a file with the certificate (-----BEGIN CERTIFICATE-----)",
    keyFile: `the file with the key of ${certificate} (-----BEGIN PRIVATE KEY-----), without a password`,
    caFile: "a file with the CA's certificate (-----BEGIN CERTIFICATE-----)",
  };
  return `name ${wanted[part]} there, readable for edgecore`;
}

/**
 * Files that TLS cannot use would only show as an error of its library, deep within the start of the broker.
 * @throws ConfigError naming field, file, fault and way out of each
 */
export function refuseUnusableFiles(config: EdgeConfig): void {
  refuse("Cannot start", mqttFiles(config));
}

/** As `refuseUnusableFiles`, of what the built-in broker reads again while it runs. */
export function refuseReload(config: EdgeConfig): void {
  refuse("Cannot reload", brokerFiles(config));
}

function refuse(what: string, all: readonly NamedFiles[]): void {
  const problems = all.flatMap(({ section, files }) =>
    findTlsFaults(files).map(
      (fault) => `${fieldOf(section, fault.part)}: ${fault.file} ${fault.why}; ${wayOut(section, fault)}`,
    ),
  );
  if (problems.length > 0) throw new ConfigError("bad-tls-file", `${what}: ${problems.join(" | ")}`);
}
