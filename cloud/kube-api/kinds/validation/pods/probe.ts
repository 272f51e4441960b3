import {
  forbidden,
  invalid,
  isPort,
  portName,
  portText,
  required,
  requiredOneOf,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, numberOf, type JsonObject } from "#shared/json";

const probeFields = ["livenessProbe", "readinessProbe", "startupProbe"];

/** Probes and lifecycle hooks. Init containers may have them when they restart always (sidecars, KEP-753). */
export function validateProbes(
  container: JsonObject,
  { path, init }: { readonly path: string; readonly init: boolean },
): FieldError[] {
  const allowed = !init || container.restartPolicy === "Always";
  const errors: FieldError[] = [];
  for (const field of [...probeFields, "lifecycle"])
    if (!allowed && childOf(container, field) !== undefined)
      errors.push(
        forbidden(`${path}.${field}`, "may not be set for init containers without restartPolicy=Always"),
      );
  for (const field of allowed ? probeFields : []) {
    const probe = childOf(container, field);
    if (probe !== undefined)
      errors.push(...validateProbe(probe, `${path}.${field}`, field !== "readinessProbe"));
  }
  const lifecycle = allowed ? childOf(container, "lifecycle") : undefined;
  for (const hook of ["postStart", "preStop"]) {
    const handler = childOf(lifecycle, hook);
    if (handler !== undefined) errors.push(...validateHandler(handler, `${path}.lifecycle.${hook}`));
  }
  return errors;
}

function validateProbe(probe: JsonObject, path: string, once: boolean): FieldError[] {
  const errors = validateHandler(probe, path);
  for (const field of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ]) {
    const value = numberOf(probe, field) ?? 0;
    if (value < 0) errors.push(invalid(`${path}.${field}`, value, "must be greater than or equal to 0"));
  }
  const successes = numberOf(probe, "successThreshold") ?? 1;
  if (once && successes !== 1) errors.push(invalid(`${path}.successThreshold`, successes, "must be 1"));
  return errors;
}

const handlers = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

function validateHandler(handler: JsonObject, path: string): FieldError[] {
  const chosen = handlers.filter((field) => childOf(handler, field) !== undefined);
  if (chosen.length === 0) return [required(path, "must specify a handler type")];
  const errors = chosen
    .slice(1)
    .map((field) => forbidden(`${path}.${field}`, "may not specify more than 1 handler type"));
  const [kind = ""] = chosen;
  return [...errors, ...validateAction(kind, childOf(handler, kind) ?? {}, path)];
}

function validateAction(kind: string, action: JsonObject, path: string): FieldError[] {
  switch (kind) {
    case "exec":
      return Array.isArray(action.command) ? [] : [required(`${path}.exec.command`)];
    case "httpGet":
      return [
        ...validateTargetPort(action, `${path}.httpGet.port`),
        ...requiredOneOf(action, "scheme", { path: `${path}.httpGet`, values: ["HTTP", "HTTPS"] }),
      ];
    case "tcpSocket":
      return validateTargetPort(action, `${path}.tcpSocket.port`);
    case "grpc": {
      const port = numberOf(action, "port") ?? 0;
      return isPort(port) ? [] : [invalid(`${path}.grpc.port`, port, portText)];
    }
    default:
      return [];
  }
}

/** A port by number or by name. */
export function validateTargetPort(owner: JsonObject | undefined, path: string): FieldError[] {
  const field = path.slice(path.lastIndexOf(".") + 1);
  const port = owner?.[field];
  if (typeof port === "string") return portName(port).map((text) => invalid(path, port, text));
  const number = typeof port === "number" ? port : 0;
  return isPort(number) ? [] : [invalid(path, number, portText)];
}
