import type { DmiVersion } from "#shared/dmi";
import { UnavailableError } from "#shared/errors";
import { grpcCodes, GrpcError, type Definition, type GrpcMethod } from "#shared/grpc";
import { asText, isRecord, recordOf } from "#shared/json";
import type { MapperReport, RefusedValue, ReportedProperty } from "#shared/topics";
import type { MapperData, MapperInfo } from "#edge/device-twin/dmi/mappers";

export interface ManagerParts {
  readonly definition: (version: DmiVersion) => Definition;
  readonly register: (info: MapperInfo, withData: boolean) => MapperData;
  /** How topics name the device that a mapper means; undefined: this node has none. */
  readonly deviceOf: (namespace: string, name: string) => string | undefined;
  /** Settles when what was taken is on disk. */
  readonly report: (report: MapperReport) => Promise<readonly RefusedValue[] | undefined>;
}

type Request = Readonly<Record<string, unknown>>;

/** Calls at a time, of all mappers together: those beyond are refused. */
const mostCalls = 1000;
/** KubeEdge's, and more than the twins of a device. */
const mostTwins = 2000;

/** The service `DeviceManagerService` of both versions; as KubeEdge's `dmiserver/server.go`, but without its limit of one call a second. */
export function managerMethods(parts: ManagerParts): GrpcMethod[] {
  let calls = 0;
  const bounded = async (answer: () => Promise<object>): Promise<object> => {
    if (calls >= mostCalls) throw new GrpcError(grpcCodes.resourceExhausted, "too many calls at a time");
    calls += 1;
    try {
      return await answer();
    } catch (error) {
      throw error instanceof UnavailableError ? new GrpcError(grpcCodes.unavailable, error.message) : error;
    } finally {
      calls -= 1;
    }
  };
  return (["v1beta1", "v1alpha1"] as const).flatMap((version) => {
    const { methods } = parts.definition(version);
    const served = (name: string, answer: (request: Request) => Promise<object>): GrpcMethod[] => {
      const method = methods.get(name);
      return method ? [{ method, answer: (request) => bounded(() => answer(request)) }] : [];
    };
    return [
      ...served("MapperRegister", async (request) => register(parts, version, request)),
      ...served("ReportDeviceStatus", (request) => reportStatus(parts, version, request)),
      ...served("ReportDeviceStates", (request) => reportState(parts, request)),
    ];
  });
}

function register({ register: add }: ManagerParts, dmi: DmiVersion, request: Request): object {
  const mapper = recordOf(request["mapper"]);
  const { address: bytes } = mapper;
  const [name, protocol] = [asText(mapper["name"]), asText(mapper["protocol"])];
  const address = bytes instanceof Uint8Array ? Buffer.from(bytes).toString() : "";
  if (protocol === "")
    throw invalid("mapper.protocol", 'expected the protocolName of its devices, such as "modbus", got ""');
  if (name === "" || name.length > 253)
    throw invalid("mapper.name", "expected a name of at most 253 characters");
  if (!/^(unix:(\/\/)?)?\/[^\0]+$/.test(address) || address.length > 115)
    throw invalid(
      "mapper.address",
      `expected the path of the mapper's socket, got ${JSON.stringify(address.slice(0, 200))}`,
    );
  const info = { name, version: asText(mapper["version"]), protocol, address, dmi };
  return add(info, request["withData"] === true);
}

async function reportStatus(parts: ManagerParts, dmi: DmiVersion, request: Request): Promise<object> {
  const device = deviceOf(parts, request);
  const { twins = [] } = recordOf(request["reportedDevice"]);
  if (!Array.isArray(twins)) throw invalid("reportedDevice.twins", "expected a list");
  if (twins.length === 0) throw invalid("reportedDevice.twins", "expected at least one twin");
  if (twins.length > mostTwins) throw invalid("reportedDevice.twins", `expected at most ${mostTwins} twins`);
  const values = twins.flatMap((twin): ReportedProperty[] => {
    const { propertyName, reported, observedDesired } = recordOf(twin);
    if (!isRecord(reported)) return [];
    const expected = isRecord(observedDesired) ? asText(observedDesired["value"]) : undefined;
    // Of v1alpha1 a twin has what is desired under another name, which KubeEdge passes over, and always a type.
    const type = dmi === "v1alpha1" ? asText(recordOf(reported["metadata"])["type"]) : "";
    const name = typeof propertyName === "string" ? propertyName : "";
    return [{ name, value: asText(reported["value"]), expected, type: type === "" ? undefined : type }];
  });
  if (values.length === 0) throw invalid("reportedDevice.twins", "expected reported values");
  return taken(await parts.report({ device, twins: values }), device);
}

async function reportState(parts: ManagerParts, request: Request): Promise<object> {
  const device = deviceOf(parts, request);
  const state = asText(request["state"]);
  if (state === "") throw invalid("state", "expected a state such as online");
  return taken(await parts.report({ device, twins: [], state }), device);
}

function deviceOf(parts: ManagerParts, request: Request): string {
  const [namespace, name] = [asText(request["deviceNamespace"]), asText(request["deviceName"])];
  if (name === "") throw invalid("deviceName", "expected the name of a Device");
  const device = parts.deviceOf(namespace, name);
  if (device === undefined) throw unknownDevice(namespace === "" ? name : `${namespace}/${name}`);
  return device;
}

/** The values that were right are taken, whatever the others are. */
function taken(refused: readonly RefusedValue[] | undefined, device: string): object {
  if (!refused) throw unknownDevice(device);
  const [first] = refused;
  if (!first) return {};
  const more = refused.length > 1 ? `, and ${refused.length - 1} more` : "";
  throw new GrpcError(
    grpcCodes.invalidArgument,
    `device ${device}: ${first.name.slice(0, 128)}: ${first.problem}${more}`,
  );
}

function unknownDevice(device: string): GrpcError {
  return new GrpcError(grpcCodes.notFound, `this node has no device ${device.slice(0, 320)}`);
}

function invalid(field: string, problem: string): GrpcError {
  return new GrpcError(grpcCodes.invalidArgument, `${field}: ${problem}`);
}
