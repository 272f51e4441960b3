import type { Container, PodSpec, SecurityContext } from "#shared/kube";

/** A pod that checks from inside that it is run as it was specified, and what has to become of it. */
export interface SelfChecking {
  readonly name: string;
  readonly spec: Partial<PodSpec> & { readonly containers: readonly Container[] };
  /** "Succeeded" by default. */
  readonly phase?: "Succeeded" | "Failed";
  /** A part of the first container's end, as `state.terminated` has it. */
  readonly end?: Readonly<Record<string, unknown>>;
  readonly restarts?: number;
  readonly needsAllCapabilities?: boolean;
}

/** Objects that the pods refer to. */
export const objects = [
  {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "settings" },
    data: { one: "first", two: "second\nline" },
  },
  { apiVersion: "v1", kind: "Secret", metadata: { name: "keys" }, stringData: { pass: "word", user: "me" } },
];

/** @param image of busybox, with `sh` and what the scripts name */
export function selfChecking(image: string): readonly SelfChecking[] {
  const c = (script: string, more: Partial<Container> = {}): Container => ({
    name: "main",
    image,
    command: ["sh", "-c", `set -e; ${script}`],
    ...more,
  });
  const one = (
    name: string,
    script: string,
    more: Partial<Container> = {},
    spec: Partial<PodSpec> = {},
  ): SelfChecking => ({
    name,
    spec: { containers: [c(script, more)], ...spec },
  });
  const secure = (name: string, script: string, securityContext: SecurityContext): SelfChecking =>
    one(name, script, { securityContext });
  const mounted = (name: string, script: string, volume: object, mount: object = {}): SelfChecking =>
    one(
      name,
      script,
      { volumeMounts: [{ name: "v", mountPath: "/v", ...mount }] },
      {
        volumes: [{ name: "v", ...volume }],
      },
    );
  const status = (field: string, value: string): string =>
    `grep -q '^${field}:[[:space:]]*${value}$' /proc/self/status`;
  const fieldEnv = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const limits = (resources: Readonly<Record<string, string>>): Partial<Container> => ({
    resources: { limits: { ...resources } },
  });

  return [
    one("command", '[ "$0" = "sh" ]'),
    one("args", "true", {
      command: ["sh", "-c", '[ "$1" = "a b" ] && [ "$2" = "x \\$y" ]'],
      args: ["sh", "a b", "x $y"],
    }),
    one("args-of-variables", "true", {
      command: ["sh", "-c", "[ \"$1\" = 'v-$(B)-$(NONE)' ]", "sh"],
      args: ["$(A)-$$(B)-$(NONE)"],
      env: [{ name: "A", value: "v" }],
    }),
    one("odd-environment", '[ "$A" = "q\'\\"ü=\n x" ]', { env: [{ name: "A", value: "q'\"ü=\n x" }] }),
    one("environment-of-objects", '[ "$A" = first ] && [ "$B" = word ]', {
      env: [
        { name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "one" } } },
        { name: "B", valueFrom: { secretKeyRef: { name: "keys", key: "pass" } } },
      ],
    }),
    one("environment-from", '[ "$C_one" = first ] && [ "$user" = me ]', {
      envFrom: [{ prefix: "C_", configMapRef: { name: "settings" } }, { secretRef: { name: "keys" } }],
    }),
    one(
      "downward-environment",
      '[ "$N" = downward-environment ] && [ "$S" = default ] && hostname -i | grep -q "$I" && [ -n "$U$H" ]',
      {
        env: [
          fieldEnv("N", "metadata.name"),
          fieldEnv("S", "metadata.namespace"),
          fieldEnv("I", "status.podIP"),
          fieldEnv("U", "metadata.uid"),
          fieldEnv("H", "spec.nodeName"),
        ],
      },
    ),
    one(
      "service-account",
      'cd /var/run/secrets/kubernetes.io/serviceaccount; [ "$(cat namespace)" = default ] && [ -s ca.crt ] && grep -q "^ey.*[.].*[.]" token',
    ),
    one("resources-in-environment", '[ "$M" = 64 ]', {
      ...limits({ memory: "64Mi" }),
      env: [{ name: "M", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } }],
    }),
    mounted("config-map", '[ "$(cat /v/one)" = first ] && [ "$(cat /v/two)" = "second\nline" ]', {
      configMap: { name: "settings" },
    }),
    mounted(
      "config-map-items",
      '[ "$(cat /v/a/b)" = first ] && [ ! -e /v/two ] && [ "$(stat -L -c %a /v/a/b)" = 440 ]',
      {
        configMap: { name: "settings", items: [{ key: "one", path: "a/b", mode: 0o440 }] },
      },
    ),
    mounted("secret", '[ "$(cat /v/pass)" = word ] && [ "$(stat -L -c %a /v/pass)" = 400 ]', {
      secret: { secretName: "keys", defaultMode: 0o400 },
    }),
    mounted(
      "projected",
      '[ "$(cat /v/one)" = first ] && [ "$(cat /v/s/pass)" = word ] && [ "$(cat /v/name)" = projected ]',
      {
        projected: {
          sources: [
            { configMap: { name: "settings" } },
            { secret: { name: "keys", items: [{ key: "pass", path: "s/pass" }] } },
            { downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
          ],
        },
      },
    ),
    mounted("empty-dir", "echo x > /v/a && [ $(cat /v/a) = x ]", { emptyDir: {} }),
    mounted("empty-dir-in-memory", "grep -q ' /v tmpfs' /proc/mounts && echo x > /v/a", {
      emptyDir: { medium: "Memory", sizeLimit: "1Mi" },
    }),
    mounted(
      "host-path",
      "[ -d /v/self ]",
      { hostPath: { path: "/proc", type: "Directory" } },
      { readOnly: true },
    ),
    mounted("read-only-mount", "! echo x > /v/a", { emptyDir: {} }, { readOnly: true }),
    mounted(
      "read-only-below",
      "[ -d /v/shm ]; ! touch /v/shm/made",
      { hostPath: { path: "/dev" } },
      { readOnly: true, recursiveReadOnly: "Enabled" },
    ),
    mounted(
      "writable-below",
      "touch /v/shm/$HOSTNAME; rm /v/shm/$HOSTNAME",
      { hostPath: { path: "/dev" } },
      { readOnly: true },
    ),
    mounted("sub-path", '[ "$(cat /v)" = first ]', { configMap: { name: "settings" } }, { subPath: "one" }),
    one(
      "sub-path-of-variables",
      "echo x > /v/a && [ -e /all/sub-path-of-variables/a ]",
      {
        env: [fieldEnv("N", "metadata.name")],
        volumeMounts: [
          { name: "v", mountPath: "/v", subPathExpr: "$(N)" },
          { name: "v", mountPath: "/all" },
        ],
      },
      { volumes: [{ name: "v", emptyDir: {} }] },
    ),
    secure("read-only-root", "! echo x > /a 2>/dev/null", { readOnlyRootFilesystem: true }),
    secure("user-and-group", '[ "$(id -u)" = 1000 ] && [ "$(id -g)" = 50 ]', {
      runAsUser: 1000,
      runAsGroup: 50,
    }),
    secure("user-that-is-not-root", '[ "$(id -u)" = 7 ]', { runAsUser: 7, runAsNonRoot: true }),
    one(
      "groups",
      "id -G | grep -q -w 77 && id -G | grep -q -w 88",
      {},
      { securityContext: { supplementalGroups: [77], fsGroup: 88 } },
    ),
    {
      name: "group-of-files",
      spec: {
        securityContext: { fsGroup: 88, runAsUser: 1000 },
        volumes: [{ name: "v", emptyDir: {} }],
        containers: [
          c('[ "$(stat -c %g /v)" = 88 ] && echo x > /v/a', {
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          }),
        ],
      },
    },
    secure("no-capabilities", status("CapEff", "0*"), { capabilities: { drop: ["ALL"] } }),
    secure("one-capability", status("CapEff", "0*1000"), {
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
    }),
    {
      needsAllCapabilities: true,
      ...secure("all-capabilities", "! " + status("CapEff", "00000000a80425fb"), {
        capabilities: { add: ["ALL"] },
      }),
    },
    {
      needsAllCapabilities: true,
      ...secure("privileged", "[ -e /dev/kmsg ] && " + status("Seccomp", "0"), { privileged: true }),
    },
    secure("no-new-privileges", status("NoNewPrivs", "1"), { allowPrivilegeEscalation: false }),
    secure("seccomp-default", status("Seccomp", "2"), { seccompProfile: { type: "RuntimeDefault" } }),
    secure("seccomp-unconfined", status("Seccomp", "0"), { seccompProfile: { type: "Unconfined" } }),
    secure("masked-paths", "[ ! -s /proc/kcore ] && ! echo 1 > /proc/sys/kernel/panic", {}),
    one("host-name", '[ "$(hostname)" = box ]', {}, { hostname: "box" }),
    one("name-of-the-pod", '[ "$(hostname)" = name-of-the-pod ] && [ "$HOSTNAME" = name-of-the-pod ]'),
    one(
      "host-aliases",
      "grep -q '^192.0.2.77[[:space:]]*db' /etc/hosts",
      {},
      { hostAliases: [{ ip: "192.0.2.77", hostnames: ["db"] }] },
    ),
    one(
      "own-resolver",
      'grep -q "^nameserver 192.0.2.53" /etc/resolv.conf && grep -q "ndots:2" /etc/resolv.conf',
      {},
      {
        dnsPolicy: "None",
        dnsConfig: {
          nameservers: ["192.0.2.53"],
          searches: ["site"],
          options: [{ name: "ndots", value: "2" }],
        },
      },
    ),
    one(
      "host-network",
      "[ -d /proc/sys/net/ipv4/conf/docker0 ] || [ $(ls /sys/class/net | busybox wc -l) -gt 1 ]",
      {},
      { hostNetwork: true },
    ),
    one("own-network", "[ -e /sys/class/net/eth0 ] && [ ! -e /sys/class/net/docker0 ]"),
    one("own-processes", '[ "$(cat /proc/1/comm)" = sh ]'),
    one("host-processes", '[ "$(cat /proc/1/comm)" != sh ]', {}, { hostPID: true }),
    one("shared-processes", '[ "$(cat /proc/1/comm)" = pause ]', {}, { shareProcessNamespace: true }),
    {
      name: "shared-network",
      spec: {
        containers: [
          c(
            'for i in 1 2 3 4 5 6 7 8 9 10; do [ "$(nc -w 1 127.0.0.1 777)" = hi ] && exit 0; sleep 1; done; exit 1',
          ),
          {
            name: "other",
            image,
            command: ["sh", "-c", "echo hi | busybox timeout 15 nc -l -p 777; exit 0"],
          },
        ],
      },
    },
    {
      name: "shared-memory",
      spec: {
        containers: [
          c("for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /dev/shm/mark ] && exit 0; sleep 1; done; exit 1"),
          { name: "other", image, command: ["sh", "-c", "echo x > /dev/shm/mark"] },
        ],
      },
    },
    {
      name: "shared-directory",
      spec: {
        volumes: [{ name: "v", emptyDir: {} }],
        containers: [
          c("for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /v/mark ] && exit 0; sleep 1; done; exit 1", {
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          }),
          {
            name: "other",
            image,
            command: ["sh", "-c", "echo x > /w/mark"],
            volumeMounts: [{ name: "v", mountPath: "/w" }],
          },
        ],
      },
    },
    {
      name: "init-in-order",
      spec: {
        volumes: [{ name: "v", emptyDir: {} }],
        initContainers: [
          {
            name: "first",
            image,
            command: ["sh", "-c", "echo 1 >> /v/a"],
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          },
          {
            name: "second",
            image,
            command: ["sh", "-c", "echo 2 >> /v/a"],
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          },
        ],
        containers: [c('[ "$(cat /v/a)" = "1\n2" ]', { volumeMounts: [{ name: "v", mountPath: "/v" }] })],
      },
    },
    {
      name: "init-that-fails",
      phase: "Failed",
      spec: { initContainers: [{ name: "first", image, command: ["false"] }], containers: [c("true")] },
    },
    {
      name: "sidecar",
      spec: {
        initContainers: [
          {
            name: "side",
            image,
            command: ["sh", "-c", "trap 'exit 0' TERM; echo x > /dev/shm/side; sleep 100 & wait"],
            restartPolicy: "Always",
          },
        ],
        containers: [c("for i in 1 2 3 4 5; do [ -e /dev/shm/side ] && exit 0; sleep 1; done; exit 1")],
      },
    },
    one("working-directory", '[ "$PWD" = /tmp ]', { workingDir: "/tmp" }),
    one(
      "sysctl",
      '[ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" = 80 ]',
      {},
      {
        securityContext: { sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "80" }] },
      },
    ),
    {
      ...one("out-of-memory", "busybox head -c 200m /dev/zero | busybox tail", limits({ memory: "16Mi" })),
      phase: "Failed",
      end: { reason: "OOMKilled" },
    },
    { ...one("exit-code", "exit 3"), phase: "Failed", end: { exitCode: 3, reason: "Error" } },
    {
      ...one("message", "echo why > /dev/termination-log; exit 1"),
      phase: "Failed",
      end: { message: "why" },
    },
    {
      ...one("message-of-the-log", "echo in the log; exit 1", {
        terminationMessagePolicy: "FallbackToLogsOnError",
      }),
      phase: "Failed",
      end: { message: "in the log\n" },
    },
    {
      ...one(
        "command-that-is-not-there",
        "true",
        { command: ["/no-such-program"] },
        { activeDeadlineSeconds: 8 },
      ),
      phase: "Failed",
    },
    { ...one("deadline", "sleep 100", {}, { activeDeadlineSeconds: 2 }), phase: "Failed" },
    {
      name: "again-on-failure",
      restarts: 1,
      spec: {
        restartPolicy: "OnFailure",
        volumes: [{ name: "v", emptyDir: {} }],
        containers: [
          c("[ -e /v/mark ] || { echo x > /v/mark; exit 1; }", {
            volumeMounts: [{ name: "v", mountPath: "/v" }],
          }),
        ],
      },
    },
    one("hook-after-start", "for i in 1 2 3 4 5; do [ -e /tmp/hook ] && exit 0; sleep 1; done; exit 1", {
      lifecycle: { postStart: { exec: { command: ["sh", "-c", "echo > /tmp/hook"] } } },
    }),
    one("terminal", "[ -t 1 ]", { tty: true }),
    one("no-terminal", "[ ! -t 1 ]"),
  ];
}
