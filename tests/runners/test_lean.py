import subprocess
import sys

HEAP = """
from runners import lean
lean.keep_one_heap()
import pyarrow as pa
print(pa.default_memory_pool().backend_name)
"""


COLLECTOR = """
import gc
from runners import lean
lean.end_imports()
print(gc.get_freeze_count() > 0)
usual = gc.get_threshold()
lean.begin_imports()
print(gc.get_threshold()[0] > usual[0])
lean.end_imports()
print(gc.get_freeze_count() > 0, gc.get_threshold() == usual)
"""


def run(program: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_arrow_allocates_where_all_do():
    ended = run(HEAP)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "system\n", "")


def test_the_collector_looks_seldom_until_imports_end():
    ended = run(COLLECTOR)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "False\nTrue\nTrue True\n"
