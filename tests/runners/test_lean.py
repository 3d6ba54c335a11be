import subprocess
import sys

from apache_beam.options.pipeline_options import DebugOptions, DirectOptions

from runners.direct import _Options

NEEDLESS = """
import logging
logging.getLogger().addHandler(logging.NullHandler())  # Beam warns of what isn't installed
from runners import lean
lean.save_imports()
import pyarrow as pa
assert pa.array([1, None, 3]).null_count == 1
for name in ("pandas", "pymongo", "apache_beam.io.gcp.bigquery"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        print(name, "is hidden")
"""

SELDOM = """
import sys
from runners import lean
lean.save_imports()
import apache_beam.runners.portability.stager
print("httplib2.auth" in sys.modules)
import httplib2
print(httplib2.urlnorm("http://A")[0], "httplib2.auth" in sys.modules)
"""

HEAP = """
from runners import lean
lean.keep_one_heap()
import pyarrow as pa
print(pa.default_memory_pool().backend_name)
"""


COLLECTOR = """
import gc
from runners import lean
lean.collect_again()
print(gc.get_freeze_count() > 0)
usual = gc.get_threshold()
lean.save_imports()
print(gc.get_threshold()[0] > usual[0])
lean.collect_again()
print(gc.get_freeze_count() > 0, gc.get_threshold() == usual)
"""


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_what_is_needless_is_as_if_not_installed():
    ended = run(NEEDLESS)
    assert (ended.returncode, ended.stderr) == (0, "")
    hidden = ("pandas", "pymongo", "apache_beam.io.gcp.bigquery")
    assert ended.stdout == "".join(f"{name} is hidden\n" for name in hidden)


def test_what_is_seldom_used_is_imported_then():
    ended = run(SELDOM)
    assert (ended.returncode, ended.stdout) == (0, "False\nhttp True\n")


def test_arrow_allocates_where_all_do():
    ended = run(HEAP)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "system\n", "")


def test_the_collector_looks_seldom_until_work_begins():
    ended = run(COLLECTOR)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "False\nTrue\nTrue True\n"


def test_views_of_options_are_one():
    options = _Options(["--direct_num_workers=3"])
    assert options.view_as(DirectOptions).direct_num_workers == 3
    options.view_as(DebugOptions).experiments = ["one"]
    assert options.view_as(DebugOptions) is options.view_as(DebugOptions)
    assert options.view_as(DebugOptions).experiments == ["one"]
    assert options.get_all_options()["experiments"] == ["one"]
