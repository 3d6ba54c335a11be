"""Base-128 varints, by which Thrift and protocol buffers write integers: low septets first."""


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns the unsigned varint at `at`, and where it ends."""
    value = shift = 0
    while (byte := data[at]) & 0x80:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return value | byte << shift, at + 1


def write_varint(value: int) -> bytes:
    """Encodes a non-negative integer as an unsigned varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
