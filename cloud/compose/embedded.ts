import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { startApiServer, type ApiServer } from "#cloud/kube-api/server";
import {
  ensureCertificates,
  ensureClientAuthority,
  ensureProxyAuthority,
} from "#cloud/cloud-hub/certificates";
import { localPathClass } from "#cloud/controllers/storage";
import { admitDevices } from "#cloud/device-controller";
import { createRuleAdmission } from "#cloud/router";
import type { CloudFigures } from "#cloud/usage";
import type { KubeOptions } from "#cloud/kube-client";
import type { ProcessDeps } from "#shared/cli";
import type { EmbeddedConfig } from "#shared/config";
import type { ConnectionBudget } from "#shared/connections";
import { writeWhole } from "#shared/files";
import type { KubeObject } from "#shared/kube";
import type { Authority } from "#shared/pki";
import type { Logger } from "#shared/log";
import deviceCrd from "#conf/crds/devices_v1beta1_device.yaml" with { type: "text" };
import deviceModelCrd from "#conf/crds/devices_v1beta1_devicemodel.yaml" with { type: "text" };
import clusterObjectSyncCrd from "#conf/crds/reliablesyncs_v1alpha1_clusterobjectsync.yaml" with { type: "text" };
import imagePrePullJobCrd from "#conf/crds/operations_v1alpha1_imageprepulljob.yaml" with { type: "text" };
import ruleCrd from "#conf/crds/rules_v1_rule.yaml" with { type: "text" };
import ruleEndpointCrd from "#conf/crds/rules_v1_ruleendpoint.yaml" with { type: "text" };
import deviceRuleCrd from "#conf/crds/rules_v1alpha1_devicerule.yaml" with { type: "text" };
import objectSyncCrd from "#conf/crds/reliablesyncs_v1alpha1_objectsync.yaml" with { type: "text" };

export interface Embedded {
  readonly api: ApiServer;
  /** How this process itself reaches it. */
  readonly access: KubeOptions;
  /** the CA its certificate is signed by */
  readonly caPem: string;
  /** the CA of client certificates */
  readonly clientAuthority: Authority;
}

/**
 * The embedded Kubernetes API with its own CA, administrator's token and kubeconfig under the data directory, and the
 * project's own resource definitions installed.
 */
export async function startEmbedded(
  config: EmbeddedConfig,
  dataDir: string,
  deps: ProcessDeps & { readonly connections: ConnectionBudget; readonly figures: CloudFigures },
): Promise<Embedded> {
  const home = join(dataDir, "embedded");
  mkdirSync(home, { recursive: true, mode: 0o700 });
  reportLostDatabase(dataDir, deps.log);
  const nowMs = deps.clock.nowMs();
  const { caPem, serverCert, serverKey } = await ensureCertificates({
    dataDir: home,
    established: existsSync(join(dataDir, "cloudcore.db")),
    nowMs,
    advertise: config.advertise,
  });
  const clientAuthority = await ensureClientAuthority(home, nowMs);
  const proxyAuthority = await ensureProxyAuthority(home, nowMs);
  const subject = { commonName: proxyName };
  const proxyIdentity = await proxyAuthority.issue({ subject, usage: "client", days: proxyDays, nowMs });
  const token = readToken(join(home, "admin-token"), deps.log);
  const ownToken = randomBytes(32).toString("hex");
  const admitRules = createRuleAdmission();
  const api = await startApiServer(
    {
      address: config.address,
      port: config.port,
      dataDir,
      keyFile: config.encryptionKeyFile ?? join(dataDir, "secrets.key"),
      tls: { certPem: serverCert, keyPem: serverKey, caPem },
      clientCaPem: clientAuthority.certPem,
      proxyIdentity,
      adminToken: token,
      ownToken,
      admit: (object, lookup, list) => [...admitDevices(object, lookup), ...admitRules(object, lookup, list)],
    },
    {
      clock: deps.clock,
      log: deps.log.child({ module: "apiserver" }),
      connections: deps.connections,
      countRequest: deps.figures.countRequest,
      figures: deps.figures.text,
    },
  );
  api.writeKubeconfig(join(dataDir, "kubeconfig"));
  await api.ensureObjects(ownDefinitions());
  await api.publishAddress(publishedAddress(config));
  await api.ensureObjects(trustOfExtensions(clientAuthority.certPem, proxyAuthority.certPem));
  await api.ensurePresent([localPathClass]);
  deps.reportPort("embedded", api.port);
  return {
    api,
    caPem,
    clientAuthority,
    access: accessTo(api, ownToken),
  };
}

function accessTo(api: ApiServer, token: string): KubeOptions {
  const answer = (request: Request): Promise<Response> => api.answer(request);
  return { from: "inline", server: "http://localhost", socket: api.socket, answer, token };
}

function ownDefinitions(): KubeObject[] {
  return [
    deviceModelCrd,
    deviceCrd,
    ruleEndpointCrd,
    ruleCrd,
    deviceRuleCrd,
    objectSyncCrd,
    clusterObjectSyncCrd,
    imagePrePullJobCrd,
  ].map(
    // Our own files, which tests load.
    (text) => Bun.YAML.parse(text) as KubeObject,
  );
}

const proxyName = "front-proxy-client";
/** Issued at each start; a cloudcore that is not restarted in ten years does not exist. */
const proxyDays = 3650;
const authenticationName = "extension-apiserver-authentication";

/** How aggregated servers know users, and this API when it passes on their requests; all of them read it at their start. */
function trustOfExtensions(clientCa: string, proxyCa: string): KubeObject[] {
  const metadata = { namespace: "kube-system", name: authenticationName };
  const rule = { apiGroups: [""], resources: ["configmaps"], resourceNames: [authenticationName] };
  const data = {
    "client-ca-file": clientCa,
    "requestheader-client-ca-file": proxyCa,
    "requestheader-allowed-names": JSON.stringify([proxyName]),
    "requestheader-username-headers": '["X-Remote-User"]',
    "requestheader-uid-headers": '["X-Remote-Uid"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
  };
  return [
    { apiVersion: "v1", kind: "ConfigMap", metadata, data },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { namespace: "kube-system", name: `${authenticationName}-reader` },
      rules: [{ ...rule, verbs: ["get", "list", "watch"] }],
    },
  ];
}

/** An address that others can reach, if there is one. */
function publishedAddress({ advertise, address }: EmbeddedConfig): string {
  const named = [...advertise, address].find(
    (one) => isIP(one) !== 0 && !/^(0\.0\.0\.0|::|127\..*|::1)$/.test(one),
  );
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const found = named ?? own.find(({ internal, family }) => !internal && family === "IPv4")?.address;
  return found ?? "127.0.0.1";
}

/** Nodes that know another database keep what they have: an operator should know before they are adopted. */
function reportLostDatabase(dataDir: string, log: Logger): void {
  const path = join(dataDir, "cloudcore.db");
  const hasRun = existsSync(join(dataDir, "embedded/certs/server.crt"));
  if (!hasRun || (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0) return;
  log.error(
    "database is missing or empty although cloudcore has run here before: starting an empty cluster",
    {
      database: path,
      nodes: "they keep their pods and devices until `cloudcore adopt`",
      remedy: "stop cloudcore and `cloudcore restore FILE --force`",
    },
  );
}

/** The file belongs to cloudcore alone, so that a token that is empty or damaged is replaced. */
function readToken(path: string, log: Logger): string {
  const kept = existsSync(path) ? readFileSync(path, "utf8").trim() : undefined;
  if (kept !== undefined && /^[\w.~-]{32,}$/.test(kept)) return kept;
  if (kept !== undefined) log.warn("admin token was damaged, generated a new one", { path });
  const token = randomBytes(32).toString("hex");
  writeWhole(path, `${token}\n`);
  return token;
}
