import { expect, test } from "bun:test";
import {
  cloudMessage,
  encodeRequest,
  leaseRequests,
  memberRequests,
  nodeRequests,
  objectRequests,
  podRequests,
  podTokenRequests,
  type CloudMessage,
  type RequestCodec,
} from "#edge/edge-hub/codec";
import type { Lease, Node } from "#shared/kube";
import type { NodeObjectRequest } from "#shared/topics";
import { newMessage, type WireMessage } from "#shared/wire";

const stamp = { id: () => "m1", nowMs: () => 7 };
const timeoutMs = 1000;
const node: Node = { metadata: { name: "pi" } };
const lease: Lease = { metadata: { name: "pi" } };
const onNode = { namespace: "default", name: "pi", timeoutMs };
const token = {
  namespace: "default",
  serviceAccount: "runner",
  pod: { name: "web", uid: "u1" },
  expirationSeconds: 3600,
  timeoutMs,
};

function sent<Request, Reply>(codec: RequestCodec<Request, Reply>, request: Request): unknown[] {
  const { frame, subject, isQuery, isAboutNode } = encodeRequest(codec, stamp, request);
  const { route, content } = JSON.parse(frame) as WireMessage;
  return [`${route.source} ${route.group} ${route.operation}`, subject, content, isQuery, isAboutNode];
}

test.each([
  [
    "an object",
    sent(objectRequests, { type: "secret", namespace: "default", name: "s", timeoutMs }),
    ["edged meta query", "default/secret/s", null, true, false],
  ],
  [
    "a pod",
    sent(podRequests, { namespace: "default", name: "web", uid: "u1", timeoutMs }),
    ["edged meta patch", "default/podpatch/web", '{"metadata":{"uid":"u1"},"status":{}}', false, false],
  ],
  [
    "a token",
    sent(podTokenRequests, token),
    [
      "edged meta query",
      "default/serviceaccounttoken/runner",
      {
        metadata: {},
        spec: {
          audiences: null,
          expirationSeconds: 3600,
          boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "web", uid: "u1" },
        },
      },
      true,
      false,
    ],
  ],
  [
    "a new Node",
    sent(nodeRequests, { ...onNode, operation: { verb: "create", node } }),
    ["edged meta insert", "default/node/pi", node, false, true],
  ],
  [
    "the Node",
    sent(nodeRequests, { ...onNode, operation: { verb: "get" } }),
    ["edged meta query", "default/node/pi", null, true, true],
  ],
  [
    "another status of the Node",
    sent(nodeRequests, { ...onNode, operation: { verb: "patch", status: { addresses: [] } } }),
    ["edged meta patch", "default/nodepatch/pi", '{"status":{"addresses":[]}}', false, true],
  ],
  [
    "a renewed lease",
    sent(leaseRequests, { name: "pi", timeoutMs, operation: { verb: "update", lease } }),
    ["edged meta update", "kube-node-lease/lease/pi", lease, false, true],
  ],
  [
    "all devices of the node",
    sent(memberRequests, { node: "pi", timeoutMs }).slice(0, 2),
    ["twin resource get", "membership/detail"],
  ],
])("codec asks for %s as KubeEdge does", (_name, request, expected) => {
  expect(request).toEqual(expected);
});

function answerOf(operation: string, content: unknown): CloudMessage {
  return cloudMessage(newMessage(stamp, { source: "", group: "", resource: "", operation, content }));
}

const failure = { status: "Failure", reason: "NotFound", message: 'nodes "pi" not found' } as const;

const write = { verb: "create", node } as const;
const query = { verb: "get" } as const;

test.each<[string, NodeObjectRequest["operation"], unknown, unknown]>([
  ["the object of a write", write, { Object: node, Err: null }, { object: node }],
  ["a bare object to a query", query, node, { object: node }],
  ["a failure of the API", write, { Object: {}, Err: { ErrStatus: failure } }, { failure }],
  ["a bare failure to a query", query, { ErrStatus: failure }, { failure }],
  [
    "an error without a status",
    write,
    { Err: {} },
    { failure: { status: "Failure", message: "an error without a status" } },
  ],
  ["an acknowledgement", write, "OK", {}],
])("codec reads %s in the answer about a Node", (_name, operation, content, expected) => {
  const request = { ...onNode, operation };
  expect(nodeRequests.decode(answerOf("response", content), request)).toEqual(expected as object);
});

test.each([
  ["a text", "no API", "no API"],
  ["an object with a toString of its own", { toString: 1 }, '{"toString":1}'],
])("codec reads an error of the cloud with %s as a failure", (_name, content, text) => {
  const read = nodeRequests.decode(answerOf("error", content), { ...onNode, operation: query });
  expect(read).toEqual({ failure: { status: "Failure", message: text, reason: "Unknown" } });
});

test.each([
  [
    "a token",
    { spec: { expirationSeconds: 600 }, status: { token: "t" } },
    { token: "t", expirationSeconds: 600 },
  ],
  ["a token without a time", { status: { token: "t" } }, { token: "t" }],
  ["a refusal", { ErrStatus: { message: "not yours" } }, { refusal: "not yours" }],
  ["no answer", null, { refusal: "none is in the answer" }],
])("codec reads %s", (_name, content, expected) => {
  expect(podTokenRequests.decode(answerOf("response", content), token)).toEqual(expected);
});
