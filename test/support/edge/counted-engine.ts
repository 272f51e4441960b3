import { connect, createServer } from "node:net";
import { join } from "node:path";
import { engineSocket } from "#internal/test/support/machine/container-engine.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** The machine's engine behind a socket of its own, which counts how often the containers of a node were listed. */
export interface CountedEngine extends AsyncDisposable {
  readonly socket: string;
  /** Lists of all containers; those of one pod do not count. */
  readonly lists: () => number;
}

export async function countEngine(): Promise<CountedEngine> {
  const dir = tempDir("engine");
  const socket = join(dir.path, "docker.sock");
  let lists = 0;
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: engineSocket, allowHalfOpen: true });
    client.on("data", (chunk) => {
      const [line = ""] = chunk.toString("latin1").split("\r\n");
      if (line.startsWith("GET /containers/json") && !line.includes("io.kubernetes.pod.uid")) lists += 1;
    });
    client.pipe(engine).pipe(client);
    for (const end of [client, engine]) end.on("error", () => (client.destroy(), engine.destroy()));
  });
  const listening = Promise.withResolvers<void>();
  server.listen(socket, listening.resolve);
  await listening.promise;
  return {
    socket,
    lists: () => lists,
    [Symbol.asyncDispose]: async () => {
      server.close();
      dir[Symbol.dispose]();
    },
  };
}
