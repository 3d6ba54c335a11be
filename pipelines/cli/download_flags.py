"""The command line of `python -m pipelines.download`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from open_images.downloading import catalogue
from pipelines.cli.arguments import SPLIT_NAMES, Parser, add_store, choices, fraction, seconds, url

_EXAMPLES = """\
examples:
  # what the validation split of V7 consists of, and how large it is
  python -m pipelines.download --splits validation --output oid --list

  # its boxes, masks with their PNGs, and the tables and names that belong to them
  python -m pipelines.download --splits validation --output oid \\
      --kinds images,boxes,masks,mask_pngs,classes,hierarchy

  # pictures by a list such as validation/0001eeaf4aed83f9, a line each
  python -m pipelines.download --image_list ids.txt --output oid --num_connections 32

  # the originals by the addresses that were published, and what is gone from a tar
  python -m pipelines.download --image_list ids.txt --output oid --images original \\
      --images train_0.tar.gz --annotations oid/annotations

  # and then
  python -m pipelines.build --annotations oid/annotations --images oid/images --masks oid/masks \\
      --output oid/dataset

What breaks off is resumed by running the same command again. Files that are there with the right
size, and pictures that are there with their start and end, are skipped; --verify finds other
damage, too. Pictures are written as they are stored, with their EXIF orientation. The environment's
http_proxy, https_proxy and no_proxy are heeded; for pictures with --allow_private_hosts alone,
since a proxy resolves names unchecked.
exit codes: 0 all is there, 1 failed, 2 wrong use.
"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def parse(
    arguments: Sequence[str] | None, entries: Sequence[catalogue.Entry]
) -> argparse.Namespace:
    """Parses a command line.

    Args:
        arguments: without the program's name; `None` is the process's own.
        entries: the catalogue, which knows the releases and kinds.

    Raises:
        SystemExit: with code 2 and one line on stderr where the use is wrong.
    """
    releases, kinds = catalogue.names(entries)
    parser = Parser(
        prog="python -m pipelines.download",
        description="Downloads the published files of Open Images, or pictures by a list.",
        epilog=_EXAMPLES,
    )
    optional = [kind for kind in kinds if kind in catalogue.OPTIONAL_KINDS]
    add = parser.add_argument
    add(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="gets annotations/, masks/, images/",
    )
    add("--release", choices=releases, default=releases[0], help=f"default: {releases[0]}")
    add(
        "--kinds",
        metavar="NAMES",
        type=choices(kinds),
        help=f"comma separated, of {', '.join(kinds)}; default: all that the release has, without "
        f"{', '.join(optional)}; none with --image_list. person_boxes are MIAP's, which annotate "
        "people of the boxes once more",
    )
    add(
        "--splits",
        metavar="NAMES",
        type=choices(catalogue.LIST_SPLITS, SPLIT_NAMES),
        default=catalogue.LIST_SPLITS,
        help="of train, validation, test, and in an image list challenge2018; default: all",
    )
    add(
        "--base_url",
        metavar="URL",
        type=url,
        help="a mirror: below it are the published paths, such as v5/test-annotations-bbox.csv, "
        "or the files by their names; default: where each file is published",
    )
    add("--image_list", metavar="FILE", type=Path, help="get pictures: SPLIT/IMAGE_ID a line")
    add(
        "--images",
        "--image_url",
        action="append",
        metavar="[KIND=]PATH",
        help="where these pictures are, all that pipelines.build takes: http(s)://… with {split} "
        "and {image_id}; s3://bucket/… or gs://bucket/…; 'original' or 'thumbnail', the published "
        "addresses; a folder, tar, tar.gz or zip, or a folder or glob of such archives; "
        "repeatable, tried in the order given; default: the public bucket, "
        f"{catalogue.PICTURES_URL}",
    )
    add(
        "--annotations",
        action="append",
        default=[],
        metavar="PATH",
        help="image tables, or folders of them: they hold the addresses that --images original "
        "and thumbnail ask for",
    )
    add_store(parser)
    add(
        "--allow_private_hosts",
        action="store_true",
        help="let pictures come from private and loopback addresses, and through a proxy",
    )
    add(
        "--max_failure_rate",
        metavar="FRACTION",
        type=fraction,
        default=0.01,
        help="fraction of the pictures that may be missing or fail; default: 0.01",
    )
    add("--list", action="store_true", help="print files and sizes, and download nothing")
    add(
        "--verify",
        action="store_true",
        help="check files that are there by their checksums too, and pictures by decoding them",
    )
    add(
        "--num_connections",
        metavar="N",
        type=_count,
        default=8,
        help="files at once; default: 8",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=60.0,
        help="without bytes, after which a connection is tried anew; default: 60",
    )
    return parser.parse_args(arguments)
