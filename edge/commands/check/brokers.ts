import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { connect } from "node:tls";
import { checkCertificate, checkPort, checkTcp, fail, ok, warn, type Finding } from "#shared/cli";
import type { EdgeConfig, ExternalBrokerConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { findTlsFaults, type TlsFiles } from "#shared/pki";
import { brokerPorts, hostAndPort } from "./ports.ts";
import { fieldOf, mqttFiles, wayOut, type NamedFiles } from "./tls-files.ts";

type Running = Parameters<typeof checkPort>[1];

/** Brokers are in the local network. */
const timeoutMs = 3000;

/** Where devices connect with MQTT: listeners, certificates, and an external broker. */
export async function* checkBrokers(
  config: EdgeConfig,
  running: Running,
  nowMs: number,
): AsyncGenerator<Finding> {
  const { broker, external } = config.mqtt;
  for (const port of broker ? brokerPorts(broker) : []) yield await checkPort(port, running);
  for (const named of mqttFiles(config)) yield* checkFiles(named, nowMs);
  if (external) yield await checkExternal(external);
}

/** One line a file: whether TLS can use it, and its dates. */
function* checkFiles({ section, files }: NamedFiles, nowMs: number): Generator<Finding> {
  const faults = new Map(findTlsFaults(files).map((fault) => [fault.part, fault]));
  for (const part of ["certFile", "keyFile", "caFile"] as const) {
    const file = files[part];
    if (file === undefined) continue;
    const fault = faults.get(part);
    const subject = fieldOf(section, part);
    if (fault) yield fail(subject, `${file} ${fault.why}`, wayOut(section, fault));
    else if (part === "keyFile")
      yield ok(
        subject,
        faults.has("certFile") ? `${file} has a key` : `${file} is the key of ${files.certFile}`,
      );
    else
      yield checkCertificate({ subject, file, nowMs, remedy: `name a file with a newer one in ${subject}` });
  }
}

/** edgecore waits for a broker that cannot be reached, so that is no failure; one whose TLS can never work is. */
async function checkExternal(external: ExternalBrokerConfig): Promise<Finding> {
  // It may contain a password.
  const url = external.url.replace(/\/\/[^/]*@/, "//");
  const subject = "external broker";
  const secure = /^(ssl|tls|mqtts|wss):/.test(url);
  const { address, port } = hostAndPort(url, usualPort(url));
  const refused = await checkTcp(address, port, timeoutMs);
  if (refused !== undefined) {
    const remedy = "start it, or correct mqtt.server; edgecore keeps trying";
    return warn(subject, `${url}: ${refused}`, remedy);
  }
  if (!secure) return ok(subject, `${url} accepts connections`);
  if (findTlsFaults(external).length > 0)
    return warn(subject, `${url} accepts connections, TLS was not tried`, "correct the files named above");
  const why = await tryTls({ host: address, port }, external);
  if (why === undefined) return ok(subject, `${url} accepts TLS connections`);
  return fail(subject, `${url}: ${why}`, tlsRemedy(external));
}

function tlsRemedy({ caFile }: ExternalBrokerConfig): string {
  const ca =
    caFile === undefined
      ? "name the CA of its certificate in mqtt.cafile"
      : `see that ${caFile} (mqtt.cafile) is the CA of its certificate`;
  return `${ca}, that mqtt.server has a name of that certificate, and that this port is one for TLS`;
}

function usualPort(url: string): number {
  const ports: Readonly<Record<string, number>> = { tcp: 1883, mqtt: 1883, ws: 80, wss: 443 };
  return ports[url.slice(0, url.indexOf(":"))] ?? 8883;
}

/** A handshake as the client of edgecore does it. @returns undefined when it works, else why not */
async function tryTls(
  place: { readonly host: string; readonly port: number },
  { caFile, certFile, keyFile }: TlsFiles,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const signal = AbortSignal.timeout(timeoutMs);
  signal.addEventListener("abort", () => resolve(`no TLS handshake within ${timeoutMs} ms`));
  using stack = new DisposableStack();
  try {
    const options = {
      ...place,
      ...(isIP(place.host) === 0 && { servername: place.host }),
      ...(caFile !== undefined && { ca: readFileSync(caFile) }),
      ...(certFile !== undefined && { cert: readFileSync(certFile) }),
      ...(keyFile !== undefined && { key: readFileSync(keyFile) }),
    };
    const socket = connect(options);
    stack.defer(() => void socket.destroy());
    socket.once("secureConnect", () => resolve(undefined));
    socket.on("error", (error: Error) => resolve(describeError(error)));
    socket.once("close", () => resolve("closed during the TLS handshake"));
    return await promise;
  } catch (error) {
    return describeError(error);
  }
}
