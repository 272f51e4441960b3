import {
  definitionName,
  descriptions,
  forgetTexts,
  type KindInfo,
  type PrinterColumn,
} from "#cloud/kube-api/schema";
import { ageText, columnTexts, nameText } from "./column-texts.ts";

export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

const nameColumn: TableColumn = {
  name: "Name",
  type: "string",
  format: "name",
  description: nameText,
  priority: 0,
};
/** Kinds whose generated names are of little use: the name is their last column, shown by `-o wide`. */
export const namedLast: ReadonlySet<string> = new Set(["core.v1.Event", "events.v1.Event"]);
const createdAt = ["Created At|date|0|"];

const known = new Map<string, readonly TableColumn[]>();

/** The columns `kubectl get` shows of a kind, in the order of tableCells. */
export function tableColumns(kind: KindInfo): readonly TableColumn[] {
  if (kind.custom !== undefined) return [nameColumn, ...customColumns(kind.custom.columns)];
  const name = definitionName(kind);
  let columns = known.get(name);
  if (columns === undefined) {
    const others = (columnTexts[name] ?? createdAt).map(toColumn);
    columns = namedLast.has(name) ? others : [nameColumn, ...others];
    forgetTexts();
    known.set(name, columns);
  }
  return columns;
}

function toColumn(text: string): TableColumn {
  const [name = "", type = "", priority = "0", ...rest] = text.split("|");
  const description = rest.join("|");
  const format = description.endsWith("ObjectMeta.name") ? "name" : "";
  return { name, type, format, description: describe(description), priority: Number(priority) };
}

function describe(text: string): string {
  if (text === "") return ageText;
  if (!text.startsWith("@")) return text;
  const dot = text.lastIndexOf(".");
  return descriptions(text.slice(1, dot))[text.slice(dot + 1)] ?? "";
}

const ageColumn: PrinterColumn = {
  name: "Age",
  type: "date",
  description: ageText,
  jsonPath: ".metadata.creationTimestamp",
};

/** A custom kind's own columns; its age when it names none. */
export function printerColumns(columns: readonly PrinterColumn[]): readonly PrinterColumn[] {
  return columns.length === 0 ? [ageColumn] : columns;
}

function customColumns(columns: readonly PrinterColumn[]): TableColumn[] {
  return printerColumns(columns).map((column) => ({
    name: column.name,
    type: column.type,
    format: column.format ?? "",
    description:
      column.description || `Custom resource definition column (in JSONPath format): ${column.jsonPath}`,
    priority: column.priority ?? 0,
  }));
}
