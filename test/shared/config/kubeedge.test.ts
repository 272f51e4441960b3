import { expect, test } from "bun:test";
import { cloud, cloudRefusal, edge, edgeRefusal } from "./files.ts";

test("a KubeEdge 1.15 edgecore file is mapped and what is not served is named once", () => {
  const { config, warnings } = edge(`
apiVersion: edgecore.config.kubeedge.io/v1alpha2
kind: EdgeCore
database:
  aliasName: default
  dataSource: /data/edge.db
  driverName: sqlite3
modules:
  dbTest: { enable: false }
  edgeHub:
    enable: true
    heartbeat: 20
    httpServer: https://10.1.1.1:10002
    messageBurst: 60
    tlsCaFile: /nonexistent/rootCA.crt
    tlsCertFile: /nonexistent/server.crt
    tlsPrivateKeyFile: /nonexistent/server.key
    token: abc
    websocket: { enable: true, server: "10.1.1.1:10000", handshakeTimeout: 30 }
    quic: { enable: false, server: "10.1.1.1:10001" }
  edged:
    enable: true
    hostnameOverride: edge-1
    tailoredKubeletConfig: { nodeStatusUpdateFrequency: 1m30s, cpuManagerPolicy: none, maxPods: 50, evictionHard: { memory.available: 5% }, evictionSoft: { memory.available: 300Mi }, evictionSoftGracePeriod: { memory.available: 1m30s }, evictionPressureTransitionPeriod: 1m0s, systemReserved: { cpu: 100m } }
  eventBus: { enable: true, mqttMode: 2, mqttServerExternal: "tcp://127.0.0.1:1883" }
  deviceTwin: { dmiSockPath: /run/kubeedge/ }
  edgeStream: { enable: true, server: "10.1.1.1:10004" }
`);
  expect(config.nodeName).toBe("edge-1");
  expect(config.deviceTwin.dmiSocket).toBe("/run/kubeedge/dmi.sock");
  expect(config.databasePath).toBe("/data/edge.db");
  expect(config.edgeHub).toMatchObject({
    url: "wss://10.1.1.1:10000/e632aba927ea4ac2b575ec1603d56f10/edge-1/events",
    httpsUrl: "https://10.1.1.1:10002",
    heartbeatMs: 20_000,
    token: "abc",
    caFile: undefined,
    certFile: undefined,
  });
  expect([config.edged.statusIntervalMs, config.edged.maxPods]).toEqual([90_000, 50]);
  expect(config.edged.eviction).toEqual({
    hard: {
      "memory.available": "5%",
      "nodefs.available": "10%",
      "nodefs.inodesFree": "5%",
      "imagefs.available": "15%",
    },
    soft: { "memory.available": "300Mi" },
    softGraceMs: { "memory.available": 90_000 },
    minimumReclaim: {},
    transitionMs: 60_000,
    maxPodGraceSeconds: 0,
  });
  expect(config.edged.reserved).toEqual([{ cpu: "100m" }, {}]);
  expect(config.mqtt.broker).toBeUndefined();
  expect(warnings).toEqual([
    "KubeEdge fields that have no effect here: modules.edgeHub.messageBurst, modules.edgeHub.quic, modules.edged.tailoredKubeletConfig.cpuManagerPolicy",
  ]);
});

test("a KubeEdge 1.15 cloudcore file is mapped", () => {
  const { config } = cloud(`
apiVersion: cloudcore.config.kubeedge.io/v1alpha1
kind: CloudCore
kubeAPIConfig: { kubeConfig: /root/.kube/config, master: "", qps: 2500, burst: 5000, contentType: application/vnd.kubernetes.protobuf }
modules:
  cloudHub:
    enable: true
    advertiseAddress: [10.1.1.1]
    dnsNames: [""]
    nodeLimit: 1000
    tlsCAFile: /nonexistent/ca.crt
    websocket: { enable: true, address: 0.0.0.0, port: 20000 }
    https: { enable: true, address: 0.0.0.0, port: 20002 }
  deviceController: { enable: false }
`);
  expect(config.kube).toMatchObject({ kubeconfig: "/root/.kube/config", master: undefined, qps: 2500 });
  expect(config.cloudHub).toMatchObject({
    advertise: ["10.1.1.1"],
    port: 20_000,
    httpsPort: 20_002,
    nodeLimit: 1000,
    caFile: undefined,
  });
  expect(config.embedded).toBeUndefined();
  expect(config.deviceController.enabled).toBe(false);
});

test.each([
  ["eventBus: { mqttMode: 7 }", "modules.eventBus.mqttMode: expected 0, 1 or 2, got 7"],
  [
    "eventBus: { mqttMode: 2, mqttServerExternal: 'tcp://a:b@c' }",
    "modules.eventBus.mqttServerExternal: expected an address without user and password, got one with them; set modules.eventBus.mqttUsername and modules.eventBus.mqttPassword",
  ],
  [
    "edged: { registerWithTaints: [{ key: a, effect: Never }] }",
    'modules.edged.registerWithTaints[0].effect: expected NoSchedule, PreferNoSchedule or NoExecute, got "Never"',
  ],
  [
    "edgeHub: { websocket: { server: 'a b' } }",
    'modules.edgeHub.websocket.server: expected host or host:port, got "a b"',
  ],
])("an edgecore file of KubeEdge with %s is refused by its own keys", (modules, problem) => {
  const text = `apiVersion: edgecore.config.kubeedge.io/v1alpha2\nmodules: { ${modules} }\n`;
  expect(edgeRefusal(text)).toBe(`Cannot load FILE: ${problem}`);
});

test("a cloudcore file of KubeEdge is refused by its own keys", () => {
  const text =
    "apiVersion: cloudcore.config.kubeedge.io/v1alpha1\nmodules: { cloudHub: { websocket: { port: 70000 } } }";
  expect(cloudRefusal(text)).toBe(
    "Cannot load FILE: modules.cloudHub.websocket.port: expected a port from 0 to 65535, got 70000",
  );
});
