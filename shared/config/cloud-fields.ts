import { flag, oneOf, port, section, text, texts, url, whole, type Values } from "./field.ts";

const idle = "Kept for older files, without effect";
const qps = (fallback: number) => whole(`${idle}: requests are not throttled.`, fallback, [1, 1_000_000]);
const burst = (fallback: number) => whole(`${idle}: see qps.`, fallback, [1, 1_000_000]);
const httpUrl = /^https?:\/\/[^\s/]+/;

/** Every field of `conf/controller.yaml`, in the order it is written. */
export const cloudFields = {
  "data-dir": text(
    "Database, admin kubeconfig, join token, CA and certificates are kept here. --data-dir wins.",
    "/var/lib/kubeedge",
  ),
  "log-level": oneOf("How much is logged; SIGHUP reads it again.", "info", [
    "debug",
    "info",
    "warn",
    "error",
  ]),
  controller: section("The Kubernetes API that cloudcore works on, and how it treats edge nodes.", {
    kube: section("Both master and kubeconfig empty: cloudcore serves its own Kubernetes API (embedded).", {
      master: url(
        "URL of a Kubernetes API server, e.g. http://localhost:8080.",
        "",
        "an http(s) URL",
        httpUrl,
      ),
      kubeconfig: text("A kubeconfig file; certificates, tokens and CA are taken from it.", ""),
      namespace: text(`${idle}: all namespaces are looked at.`, ""),
      content_type: text(`${idle}: requests are always JSON.`, "application/json"),
      qps: qps(100),
      burst: burst(200),
      node_update_frequency: whole(`${idle}: nodes say themselves how often they report.`, 10, [1, 3600]),
    }),
  }),
  cloudhub: section("The door for edge nodes.", {
    address: text("Address to listen on.", "0.0.0.0"),
    port: port("Port of the wss link; 0 takes any free one.", 10_000),
    "https-port": port(
      "Port where nodes get their certificate with a join token; 0 takes any free one.",
      10_002,
    ),
    advertise: texts(
      "Addresses and names under which edge nodes reach this machine; they go into the server certificate. Empty: the machine's own addresses and host name.",
      [],
    ),
    ca: text("CA certificate (PEM); empty: one is made and kept under the data directory.", ""),
    "ca-key": text("Key of that CA; without it nodes need certificates made elsewhere.", ""),
    cert: text("Server certificate (PEM); empty: issued by the CA.", ""),
    key: text("Key of the server certificate.", ""),
    "keepalive-interval": whole(
      "Seconds without a sign of life after which a node counts as gone.",
      30,
      [1, 3600],
    ),
    "write-timeout": whole("Seconds after which a node that reads nothing is dropped.", 30, [1, 3600]),
    "node-limit": whole("Nodes connected at the same time.", 10_000, [1, 1_000_000]),
    "edge-cert-days": whole("Days a node's certificate is valid.", 365, [1, 3650]),
    "token-hours": whole("Hours a join token is valid.", 24, [1, 8760]),
  }),
  devicecontroller: section("Devices and device models.", {
    enabled: flag("false: Device objects are left alone.", true),
    "status-interval-ms": whole(
      "Milliseconds between two status writes of one device, at least.",
      500,
      [0, 3_600_000],
    ),
    "status-writes-per-second": whole("Status writes a second over all devices.", 600, [1, 1_000_000]),
    "accept-discovered": flag("Whether devices that a node found by itself become Device objects.", false),
    kube: section("The Kubernetes API for devices; master and kubeconfig empty: that of controller.kube.", {
      master: url("URL of an API server that asks for no credentials.", "", "an http(s) URL", httpUrl),
      kubeconfig: text("A kubeconfig file.", ""),
      namespace: text(`${idle}: all namespaces are looked at.`, ""),
      content_type: text(`${idle}: requests are always JSON.`, "application/json"),
      qps: qps(100),
      burst: burst(200),
    }),
  }),
  telemetry: section("What devices send to the cloud, and questions for their past values.", {
    "upload-mb": whole("Disk for what devices sent, MB; past it the oldest goes.", 256, [1, 1_000_000]),
    "upload-hours": whole("Hours for which it is kept.", 168, [1, 87_600]),
    address: text(
      "Where it can be asked for over HTTP, by whoever reaches the address; empty: nowhere.",
      "127.0.0.1",
    ),
    port: port("Its port; 0 takes any free one.", 10_553),
  }),
  embedded: section("The Kubernetes API that cloudcore serves when controller.kube names none.", {
    enabled: flag("false: refuse to start without controller.kube.", true),
    address: text("Address to listen on; whoever has a token gets in if it is not loopback.", "127.0.0.1"),
    port: port("Port; 0 takes any free one.", 6443),
    advertise: texts("More addresses and names for the API's certificate.", []),
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
