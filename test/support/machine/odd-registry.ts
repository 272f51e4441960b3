import { createHash } from "node:crypto";

/** How a registry answers what an engine asks for. */
export interface Manners {
  /** Asked first for each request; undefined: the usual answer. */
  readonly answer?: (request: Request) => Response | Promise<Response | undefined> | undefined;
  /** What is sent of the layer; the layer itself unless given. */
  readonly layer?: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
}

export interface OddRegistry extends AsyncDisposable {
  /** Name of the only image, with any path and tag. */
  readonly image: string;
  readonly requests: readonly string[];
}

const sha256 = (bytes: Uint8Array | string): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** A registry with one image of one layer, in the protocol of distribution, which misbehaves on demand. */
export function startOddRegistry(layer: Uint8Array<ArrayBuffer>, manners: Manners): OddRegistry {
  const config = JSON.stringify({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [sha256(layer)] },
  });
  const type = "application/vnd.docker.distribution.manifest.v2+json";
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: type,
    config: blob("application/vnd.docker.container.image.v1+json", Buffer.from(config)),
    layers: [blob("application/vnd.docker.image.rootfs.diff.tar", layer)],
  });
  const requests: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      requests.push(`${request.method} ${pathname}`);
      const odd = await manners.answer?.(request);
      if (odd) return odd;
      if (pathname === "/v2/") return new Response("{}");
      if (pathname.includes("/manifests/"))
        return new Response(manifest, {
          headers: { "content-type": type, "docker-content-digest": sha256(manifest) },
        });
      if (pathname.endsWith(sha256(config))) return new Response(config);
      return new Response(manners.layer?.(layer) ?? layer, {
        headers: { "content-length": String(layer.length) },
      });
    },
  });
  return {
    image: `127.0.0.1:${server.port}/odd/image:1`,
    requests,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function blob(mediaType: string, bytes: Uint8Array): object {
  return { mediaType, size: bytes.length, digest: sha256(bytes) };
}

/** A tar archive of one file of zeros and noise. */
export function layerOf(bytes: number): Uint8Array<ArrayBuffer> {
  const content = crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536)));
  const padded = Buffer.alloc(Math.ceil(bytes / 512) * 512);
  for (let at = 0; at < bytes; at += content.length) padded.set(content.subarray(0, bytes - at), at);
  const header = Buffer.alloc(512);
  header.write("noise", 0);
  header.write("0000644\0".concat("0000000\0".repeat(2)), 100);
  header.write(`${bytes.toString(8).padStart(11, "0")}\0${"0".padStart(11, "0")}\0`, 124);
  header.fill(" ", 148, 156);
  header.write("0ustar\x0000", 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Uint8Array.from(Buffer.concat([header, padded, Buffer.alloc(1024)]));
}
