"""A Modbus RTU device, unit 7, at the end of a pseudo terminal whose path is the first line of output.

Holding register N has the value N + 100 until it is written. Before each answer it sends a byte of noise; register 200 is not
answered, and register 201 is refused.
"""
import os
import pty
import struct
import sys
import tty


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def answer(registers: dict, request: bytes) -> bytes:
    unit, code, address, number = struct.unpack(">BBHH", request[:6])
    if unit != 7 or address == 200:
        return b""
    if address == 201:
        return bytes([unit, code | 0x80, 2])
    if code == 6:
        registers[address] = number
        return request[:6]
    values = [registers.get(address + i, address + i + 100) for i in range(number)]
    return bytes([unit, code, 2 * number]) + struct.pack(f">{number}H", *values)


def main() -> None:
    master, slave = pty.openpty()
    tty.setraw(master)
    print(os.ttyname(slave), flush=True)
    registers: dict = {}
    received = b""
    while True:
        received += os.read(master, 256)
        while len(received) >= 8:
            request, received = received[:8], received[8:]
            if crc(request[:6]) != request[6:]:
                sys.exit("a request with a wrong checksum")
            frame = answer(registers, request)
            if not frame:
                continue
            whole = b"\x55" + frame + crc(frame)
            # In two parts, as serial lines deliver them.
            os.write(master, whole[:4])
            os.write(master, whole[4:])


main()
