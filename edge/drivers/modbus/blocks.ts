import type { Point } from "#edge/drivers/driver";
import { isBitTable, type ModbusPlace, type Table } from "./place.ts";

/** One request of several properties. */
export interface Block {
  readonly table: Table;
  readonly address: number;
  readonly count: number;
  /** Which of the points it holds, by index. */
  readonly indexes: readonly number[];
}

/** Registers that nobody asked for cost less than another request. */
const widestGap = 8;
/** What an answer can hold (Modbus application protocol 1.1b3, sections 6.1 and 6.3). */
const mostRegisters = 125;
const mostBits = 2000;

/**
 * Joins properties that lie side by side into requests.
 * @param isAlone whether a point is to be asked for by itself, because the device refused a request of several
 */
export function blocksOf(
  points: readonly Point<ModbusPlace>[],
  isAlone: (point: Point<ModbusPlace>) => boolean,
): Block[] {
  const sorted = points
    .map((point, index) => ({ point, index, place: point.place }))
    .sort((a, b) => a.place.table.localeCompare(b.place.table) || a.place.address - b.place.address);
  const blocks: { table: Table; address: number; count: number; indexes: number[]; isClosed: boolean }[] = [];
  for (const { point, index, place } of sorted) {
    const last = blocks.at(-1);
    const end = place.address + place.count;
    const alone = isAlone(point);
    if (last && !alone && !last.isClosed && joins(last, place)) {
      last.count = Math.max(last.count, end - last.address);
      last.indexes.push(index);
    } else
      blocks.push({
        table: place.table,
        address: place.address,
        count: place.count,
        indexes: [index],
        isClosed: alone,
      });
  }
  return blocks.map(({ table, address, count, indexes }) => ({ table, address, count, indexes }));
}

function joins(block: Omit<Block, "indexes">, place: ModbusPlace): boolean {
  const most = isBitTable(block.table) ? mostBits : mostRegisters;
  return (
    block.table === place.table &&
    place.address - (block.address + block.count) <= widestGap &&
    place.address + place.count - block.address <= most
  );
}
