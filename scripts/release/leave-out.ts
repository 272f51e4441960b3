import type { BunPlugin } from "bun";

/**
 * What dockerode brings along for features that edgecore never uses: engines reached over ssh, and BuildKit sessions
 * over gRPC. A stub takes its place in the executables and throws when it is called.
 */
const unused = ["ssh2", "@grpc/grpc-js", "@grpc/proto-loader", "protobufjs"] as const;

export const leaveOutUnused: BunPlugin = {
  name: "leave-out-unused",
  setup(build) {
    const filter = new RegExp(`^(${unused.map((name) => name.replaceAll("/", "\\/")).join("|")})$`);
    build.onResolve({ filter }, ({ path }) => ({ path, namespace: "left-out" }));
    build.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
      contents: stub(path),
      loader: "js",
    }));
  },
};

/** A module whose names can be taken but neither called nor constructed. */
function stub(name: string): string {
  const text = JSON.stringify(`"${name}" is not part of this executable`);
  return `const refuse = () => { throw new Error(${text}); };
const isPlain = (key) => typeof key === "symbol" || key === "then" || key === "__esModule" || key === "prototype";
const thing = () => new Proxy(function () {}, {
  get: (target, key) => (isPlain(key) ? target[key] : thing()),
  apply: refuse,
  construct: refuse,
});
module.exports = thing();
`;
}
