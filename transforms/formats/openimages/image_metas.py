"""`*-image-metas.pkl`: the sizes of images, which MMDetection's `OpenImagesDataset` asks for.

The file is a pickled list of `{"filename": "ID.jpg", "ori_shape": (height, width, 3)}`, an entry
an image that has boxes, in the order of the box file. Its opcodes are written here and not by
`pickle`, which would need all entries at once: they are of pickle's protocol 2.
"""

import pickle
import struct

import numpy as np
import pyarrow as pa

from transforms.dataset.keys import HEX_DIGITS

#: Before and after the entries: an empty list, and its end.
START = pickle.PROTO + b"\x02" + pickle.EMPTY_LIST
END = pickle.STOP

_SIZE = struct.Struct("<i")


def _text(value: str) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


_NAME = _text("filename") + _text("0" * HEX_DIGITS + ".jpg")
_SHAPE = _text("ori_shape") + pickle.BININT
_ENTRY = b"".join(
    [
        *(pickle.EMPTY_DICT, pickle.MARK, _NAME, _SHAPE, _SIZE.pack(0)),
        *(pickle.BININT, _SIZE.pack(0), pickle.BININT1, b"\x03", pickle.TUPLE3, pickle.SETITEMS),
    ]
)
#: Where in an entry the ImageID, the height and the width are.
_IMAGE_ID = _ENTRY.index(b"0" * HEX_DIGITS)
_HEIGHT = _ENTRY.index(_SHAPE) + len(_SHAPE)
_WIDTH = _HEIGHT + _SIZE.size + len(pickle.BININT)


def encode_entries(image_ids: pa.StringArray, heights: np.ndarray, widths: np.ndarray) -> bytes:
    """Returns the opcodes that append n entries to the list.

    Args:
        image_ids: (n,) ids.
        heights: (n,) of the pictures in pixels.
        widths: (n,) likewise.
    """
    entries = np.tile(np.frombuffer(_ENTRY, np.uint8), (len(image_ids), 1))
    ids = image_ids.cast(pa.binary(HEX_DIGITS)).buffers()[1]
    digits = np.frombuffer(ids, np.uint8).reshape(-1, HEX_DIGITS)[: len(entries)]
    entries[:, _IMAGE_ID : _IMAGE_ID + HEX_DIGITS] = digits
    for place, values in ((_HEIGHT, heights), (_WIDTH, widths)):
        entries[:, place : place + _SIZE.size] = values.astype("<i4").view(np.uint8).reshape(-1, 4)
    return pickle.MARK + entries.tobytes() + pickle.APPENDS
