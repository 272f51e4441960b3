import { expect, test } from "bun:test";
import { containerBody, sandboxBody } from "#internal/edge/runtime/docker/create.ts";
import { container, sandbox } from "#internal/test/edge/runtime/plain-specs.ts";

const owner = { owner: "n-1" };

test("a container has kubelet's name and joins network and IPC of its sandbox", () => {
  const { name, HostConfig } = containerBody(container, owner);
  expect(name).toBe("k8s_c_web_default_u_2");
  expect(HostConfig).toMatchObject({ NetworkMode: "container:s", IpcMode: "container:s" });
  expect(HostConfig).not.toHaveProperty("PidMode");
});

test("logs are rotated as those of kubelet unless other sizes are set", () => {
  const sizes = (logs: { readonly logs?: { readonly fileBytes: number; readonly files: number } }) =>
    containerBody(container, { ...owner, ...logs }).HostConfig?.LogConfig;
  expect(sizes({})).toEqual({ Type: "json-file", Config: { "max-size": "10485760", "max-file": "5" } });
  expect(sizes({ logs: { fileBytes: 4096, files: 2 } })?.Config).toEqual({
    "max-size": "4096",
    "max-file": "2",
  });
});

test.each([
  ["pod", "container:s"],
  ["host", "host"],
  [{ ofContainer: "t" }, "container:t"],
] as const)("a container with the processes of %p has PidMode %s", (pid, mode) => {
  expect(containerBody({ ...container, pid }, owner).HostConfig?.PidMode).toBe(mode);
});

test("a memory limit allows no swap on top", () => {
  const { HostConfig } = containerBody({ ...container, memoryBytes: 1000 }, owner);
  expect([HostConfig?.Memory, HostConfig?.MemorySwap]).toEqual([1000, 1000]);
});

test("a given command replaces entry point and arguments of the image, arguments alone only those", () => {
  const command = containerBody({ ...container, command: ["run"] }, owner);
  const args = containerBody({ ...container, args: ["-v"] }, owner);
  expect([command.Entrypoint, command.Cmd, args.Entrypoint, args.Cmd]).toEqual([
    ["run"],
    undefined,
    undefined,
    ["-v"],
  ]);
});

test("security options are those of Docker", () => {
  const { HostConfig } = containerBody(
    {
      ...container,
      noNewPrivileges: true,
      seccomp: "unconfined",
      appArmor: "mine",
      selinux: ["type:t"],
    },
    owner,
  );
  expect(HostConfig?.SecurityOpt).toEqual([
    "no-new-privileges",
    "seccomp=unconfined",
    "apparmor=mine",
    "label=type:t",
  ]);
});

test("a sandbox binds its ports, one host port for each binding, and has no capabilities", () => {
  const ports = [
    { containerPort: 80, hostPort: 8080, hostIp: "", protocol: "tcp" },
    { containerPort: 80, hostPort: 8081, hostIp: "127.0.0.1", protocol: "tcp" },
  ] as const;
  const body = sandboxBody({ ...sandbox, network: { kind: "own", hostname: "web", ports } }, "pause", owner);
  expect([body.Hostname, body.ExposedPorts, body.HostConfig?.PortBindings]).toEqual([
    "web",
    { "80/tcp": {} },
    {
      "80/tcp": [
        { HostIp: "", HostPort: "8080" },
        { HostIp: "127.0.0.1", HostPort: "8081" },
      ],
    },
  ]);
  expect(body.HostConfig).toMatchObject({ CapDrop: ["ALL"], SecurityOpt: ["no-new-privileges"] });
});

test("a sandbox in the host's network has neither a host name nor ports", () => {
  const body = sandboxBody({ ...sandbox, network: { kind: "host" }, hostIpc: true }, "pause", owner);
  expect(body).not.toHaveProperty("Hostname");
  expect(body.HostConfig).toMatchObject({ NetworkMode: "host", IpcMode: "host" });
});
