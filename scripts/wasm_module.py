"""Reads a WebAssembly binary just far enough to list its imports and exports, and rewrites its export section."""

from dataclasses import dataclass

MAGIC = b"\0asm\x01\0\0\0"
TYPE, IMPORT, FUNCTION, EXPORT = 1, 2, 3, 7
V128 = 0x7B


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number at `at`; returns it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def write_uint(value: int) -> bytes:
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


def read_name(data: bytes, at: int) -> tuple[str, int]:
    length, at = read_uint(data, at)
    return data[at : at + length].decode(), at + length


@dataclass
class Export:
    name: str
    kind: int
    index: int


class Module:
    """The sections of a module, in order, as (id, payload)."""

    def __init__(self, data: bytes):
        if data[:8] != MAGIC:
            raise ValueError("not a WebAssembly 1.0 module")
        self.sections: list[tuple[int, bytes]] = []
        at = 8
        while at < len(data):
            kind = data[at]
            size, start = read_uint(data, at + 1)
            self.sections.append((kind, data[start : start + size]))
            at = start + size

    def section(self, kind: int) -> bytes:
        return next((payload for section, payload in self.sections if section == kind), b"\0")

    def types(self) -> list[bytes]:
        """The parameter types of each function type."""
        data = self.section(TYPE)
        count, at = read_uint(data, 0)
        out = []
        for _ in range(count):
            if data[at] != 0x60:
                raise ValueError("only plain function types are expected")
            n, at = read_uint(data, at + 1)
            params, at = data[at : at + n], at + n
            n, at = read_uint(data, at)
            at += n
            out.append(params)
        return out

    def imports(self) -> list[tuple[str, str, int]]:
        """(module, name, type index) of each imported function; other imports are not expected."""
        data = self.section(IMPORT)
        count, at = read_uint(data, 0)
        out = []
        for _ in range(count):
            module, at = read_name(data, at)
            name, at = read_name(data, at)
            if data[at] != 0:
                raise ValueError(f"import {module}.{name} is not a function")
            index, at = read_uint(data, at + 1)
            out.append((module, name, index))
        return out

    def function_types(self) -> list[int]:
        """The type index of each function, the imported ones first."""
        data = self.section(FUNCTION)
        count, at = read_uint(data, 0)
        own = []
        for _ in range(count):
            index, at = read_uint(data, at)
            own.append(index)
        return [index for _, _, index in self.imports()] + own

    def exports(self) -> list[Export]:
        data = self.section(EXPORT)
        count, at = read_uint(data, 0)
        out = []
        for _ in range(count):
            name, at = read_name(data, at)
            kind = data[at]
            index, at = read_uint(data, at + 1)
            out.append(Export(name, kind, index))
        return out

    def keep_exports(self, names: set[str], renamed: dict[str, str] = {}) -> None:
        """Drops every other export. What `renamed` names takes the name, and the place, of another."""
        present = {export.name for export in self.exports()}
        if missing := renamed.keys() - present:
            raise ValueError(f"no export {', '.join(sorted(missing))} to rename")
        exports = [Export(renamed.get(e.name, e.name), e.kind, e.index) for e in self.exports() if e.name not in renamed.values()]
        kept = [export for export in exports if export.name in names]
        payload = write_uint(len(kept))
        for export in kept:
            name = export.name.encode()
            payload += write_uint(len(name)) + name + bytes([export.kind]) + write_uint(export.index)
        self.sections = [(kind, payload if kind == EXPORT else data) for kind, data in self.sections]

    def to_bytes(self) -> bytes:
        return MAGIC + b"".join(bytes([kind]) + write_uint(len(data)) + data for kind, data in self.sections)
