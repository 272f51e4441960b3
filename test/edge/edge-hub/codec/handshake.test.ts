import { expect, test } from "bun:test";
import { closePurpose, handshakeHeaders, readPeer } from "#edge/edge-hub/codec";

test("codec introduces a node as KubeEdge does, with the name of its database besides", () => {
  expect(handshakeHeaders({ node: "pi", project: "p", database: "d1" })).toEqual({
    node_id: "pi",
    project_id: "p",
    ConnectionUse: "msg",
    "kubeedge-database": "d1",
    "kubeedge-streams": "1",
  });
});

test.each<[string, Record<string, string>, unknown]>([
  ["KubeEdge's cloud", {}, { answersAll: false, database: undefined, streams: false }],
  [
    "our cloud",
    { "kubeedge-answers-all": "true", "kubeedge-database": "d-1", "kubeedge-streams": "1" },
    { answersAll: true, database: "d-1", streams: true },
  ],
  [
    "a cloud with a name that cannot be one",
    { "kubeedge-answers-all": "yes", "kubeedge-database": "../d", "kubeedge-streams": "2" },
    { answersAll: false, database: undefined, streams: false },
  ],
])("codec reads the handshake of %s", (_name, headers, expected) => {
  expect(readPeer(headers)).toEqual(expected as never);
});

test("codec knows the close codes of our cloud, and no others", () => {
  expect([4403, 4409, 1000, 1006].map((code) => closePurpose(code))).toEqual([
    "refused",
    "duplicate",
    undefined,
    undefined,
  ]);
});
