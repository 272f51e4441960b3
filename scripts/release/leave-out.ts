import type { BunPlugin } from "bun";

interface LeftOut {
  readonly name: string;
  /** Whose import it is left out of; of all when absent. */
  readonly importer?: RegExp;
}

/** Packages of dockerode. */
const ofDocker = /\/node_modules\/(dockerode|docker-modem)\//;

/**
 * What dockerode and gRPC bring along for features that edgecore never uses: engines reached over ssh, BuildKit sessions over gRPC,
 * and servers of gRPC that describe themselves. A stub takes its place in the executables and throws when it is called.
 */
const unused: readonly LeftOut[] = [
  { name: "ssh2" },
  { name: "@grpc/proto-loader" },
  // edgecore itself speaks gRPC to engines of the CRI, and loads it for these alone.
  { name: "@grpc/grpc-js", importer: ofDocker },
  { name: "protobufjs", importer: ofDocker },
];

export const leaveOutUnused: BunPlugin = {
  name: "leave-out-unused",
  setup(build) {
    const filter = new RegExp(`^(${unused.map(({ name }) => name.replaceAll("/", "\\/")).join("|")})$`);
    build.onResolve({ filter }, ({ path, importer }) => {
      const left = unused.find(({ name }) => name === path);
      const isLeftOut = left?.importer === undefined || left.importer.test(importer);
      return isLeftOut ? { path, namespace: "left-out" } : undefined;
    });
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
