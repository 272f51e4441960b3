import { flag, oneOf, port, section, text, texts, url, whole, type Values } from "./field.ts";

const idle = "Without effect, accepted for older files";
const qps = (fallback: number) => whole(`${idle}: requests are not throttled.`, fallback, [1, 1_000_000]);
const burst = (fallback: number) => whole(`${idle}: see qps.`, fallback, [1, 1_000_000]);
const httpUrl = /^https?:\/\/[^\s/]+/;

/** Every field of `conf/controller.yaml`, in the order it is written. */
export const cloudFields = {
  "data-dir": text(
    "Directory for database, admin kubeconfig, CA and certificates. --data-dir takes precedence.",
    "/var/lib/kubeedge",
  ),
  "log-level": oneOf("Log level; reloaded on SIGHUP.", "info", ["debug", "info", "warn", "error"]),
  controller: section("The Kubernetes API that cloudcore works with.", {
    kube: section(
      "Connection to an existing cluster. If master and kubeconfig are both empty, cloudcore serves its own Kubernetes API (embedded).",
      {
        master: url(
          "URL of a Kubernetes API server, e.g. http://localhost:8080.",
          "",
          "an http(s) URL",
          httpUrl,
        ),
        kubeconfig: text("Path of a kubeconfig file with server, CA and credentials.", ""),
        namespace: text(`${idle}: all namespaces are watched.`, ""),
        content_type: text(`${idle}: requests are always JSON.`, "application/json"),
        qps: qps(100),
        burst: burst(200),
        node_update_frequency: whole(`${idle}: nodes set their own report interval.`, 10, [1, 3600]),
      },
    ),
  }),
  cloudhub: section("CloudHub, the endpoint for edge nodes.", {
    address: text("Address to listen on.", "0.0.0.0"),
    port: port("Port of the link to nodes (wss). 0: any free port.", 10_000),
    "https-port": port("Port where nodes enroll with a join token (https). 0: any free port.", 10_002),
    advertise: texts(
      "Addresses and names under which edge nodes reach this machine; they are put into the server certificate. Empty: the machine's own addresses and host name.",
      [],
    ),
    ca: text("CA certificate for nodes (PEM). Empty: generated in the data directory.", ""),
    "ca-key": text(
      "Private key of that CA. Without it, nodes cannot join by token and need certificates made elsewhere.",
      "",
    ),
    cert: text("Server certificate (PEM). Empty: issued by the CA.", ""),
    key: text("Private key of the server certificate.", ""),
    "keepalive-interval": whole(
      "Seconds without a message or keepalive after which a node counts as disconnected.",
      30,
      [1, 3600],
    ),
    "write-timeout": whole("Seconds after which a node that does not read is disconnected.", 30, [1, 3600]),
    "node-api": flag(
      "Whether programs on nodes may use the Kubernetes API over the link of their node, with their own tokens.",
      true,
    ),
    "node-limit": whole("Maximum number of connected nodes.", 10_000, [1, 1_000_000]),
    "edge-cert-days": whole("Validity of a node's certificate, days.", 365, [1, 3650]),
    "token-hours": whole("Validity of a join token, hours; --hours takes precedence.", 24, [1, 8760]),
    "shared-certificate": flag(
      "Whether certificates with CN kubeedge.io, shared by all nodes up to KubeEdge 1.15, may connect as any node that has no certificate of its own.",
      false,
    ),
  }),
  cloudstream: section("CloudStream, for logs and commands where the link of a node does not serve them.", {
    enabled: flag("Whether nodes of KubeEdge may open tunnels (modules.edgeStream).", true),
    "tunnel-port": port("Port of these tunnels (wss), at the address of cloudhub. 0: any free port.", 10_004),
    "stream-port": port(
      "Port (https) where the API server of an existing cluster reaches the kubelets of nodes, at the address of cloudhub. 0: any free port.",
      10_003,
    ),
    "stream-ca": text(
      "CA (PEM) of the client certificate that the API server shows to kubelets. Empty: that of controller.kube.kubeconfig, or of the pod; without one the port is not served.",
      "",
    ),
    "stream-cert": text("Certificate (PEM) of that port. Empty: the one of cloudhub.", ""),
    "stream-key": text("Private key of that certificate.", ""),
    "node-address": text(
      "Address under which the API server reaches cloudcore; nodes are then reported with it as InternalIP, and with stream-port as port of their kubelet. Empty: with their own.",
      "",
    ),
  }),
  devicecontroller: section("The controller for Devices and DeviceModels.", {
    enabled: flag("false: Device objects are ignored.", true),
    "status-interval-ms": whole(
      "Minimum interval between two status writes of one device, milliseconds (rate limit).",
      500,
      [0, 3_600_000],
    ),
    "status-writes-per-second": whole(
      "Maximum status writes per second over all devices (rate limit). 0: as many as the API takes, eight at a time.",
      0,
      [0, 1_000_000],
    ),
    "device-profiles": flag(
      "Whether Devices and models are written to a ConfigMap device-profile-config-<node> for mappers of KubeEdge 1.12 and earlier. Who reads ConfigMaps there reads the settings of the Devices.",
      false,
    ),
    "accept-discovered": flag("Whether devices that a node discovered become Device objects.", false),
    kube: section(
      "The Kubernetes API for devices. If master and kubeconfig are both empty, that of controller.kube.",
      {
        master: url("URL of an API server without authentication.", "", "an http(s) URL", httpUrl),
        kubeconfig: text("Path of a kubeconfig file.", ""),
        namespace: text(`${idle}: all namespaces are watched.`, ""),
        content_type: text(`${idle}: requests are always JSON.`, "application/json"),
        qps: qps(100),
        burst: burst(200),
      },
    ),
  }),
  telemetry: section("Uploads of devices, and queries for their history.", {
    "upload-mb": whole(
      "Maximum disk space for uploads, MB. Beyond it the oldest of the node that has most are removed.",
      256,
      [1, 1_000_000],
    ),
    "upload-hours": whole("Retention of uploads, hours.", 168, [1, 87_600]),
    address: text(
      "Address of the HTTP server for uploads and history. Any but a loopback address requires token-file. Empty: disabled.",
      "127.0.0.1",
    ),
    port: port("Port of that server. 0: any free port.", 10_553),
    "token-file": text(
      "File with the bearer token that requests to that server must carry. Empty: no authentication.",
      "",
    ),
  }),
  router: section("The router for Rules, with its REST entry (https).", {
    enabled: flag("false: Rules have no effect.", true),
    address: text("Address to listen on. Empty: that of cloudhub.", ""),
    port: port("Port of the REST entry. 0: any free port.", 9443),
    "body-mb": whole(
      "Maximum size of a body that passes through to a server on a node, MB.",
      64,
      [1, 10_000],
    ),
    "queue-mb": whole(
      "Maximum disk space for the messages of one rule that wait, MB. Beyond it the oldest from nodes are dropped, and requests refused.",
      16,
      [1, 100_000],
    ),
    "queue-hours": whole("Hours after which a message that cannot be delivered is dropped.", 24, [1, 8760]),
    "local-targets": flag(
      "Whether rules may post to URLs on this machine (loopback) and to link-local addresses.",
      false,
    ),
  }),
  embedded: section("The Kubernetes API that cloudcore serves when controller.kube is empty.", {
    enabled: flag("false: cloudcore does not start without controller.kube.", true),
    address: text(
      "Address to listen on. Other than loopback, it is accessible to everybody with a token.",
      "127.0.0.1",
    ),
    port: port("Port (https). 0: any free port.", 6443),
    advertise: texts("Additional addresses and names for the certificate of the API.", []),
    "encryption-key-file": text(
      "Keys that encrypt Secrets in cloudcore.db, created if missing. Empty: secrets.key in the data directory.",
      "",
    ),
  }),
} as const;

export type CloudValues = Values<typeof cloudFields>;

/** Keys of older files that have no meaning here, with what took their place. */
export const retiredCloudKeys: readonly string[] = [
  "controller.buffer",
  "controller.load",
  "controller.message-layer",
  "controller.context",
  "modules",
];
