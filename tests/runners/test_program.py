"""Programs end soon after a signal, whatever holds them up, and with their code otherwise."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

#: Seconds that a program which is to end in order is given here, and after a second signal.
PATIENCE, HASTE = 1.5, 0.2

BEGIN = f"""
from transforms.system import program
program.PATIENCE, program.HASTE = {PATIENCE}, {HASTE}
program.begin("python -m this", "interrupted: it hadn't begun")
import contextlib, sys, threading, time
"""

#: What a program does, by what it is to say of it after a signal.
PROGRAMS = {
    "in order": """
def main():
    try:
        with program.interruptible():
            print("ready", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        print("in order", file=sys.stderr)
        return 1
""",
    "interrupted: it hadn't begun": """
def main():
    print("ready", flush=True)
    time.sleep(60)
""",
    "interrupted: at work": """
def main():
    with program.interruptible(lambda: "interrupted: at work"):
        with contextlib.suppress(KeyboardInterrupt):  # as some libraries do
            print("ready", flush=True)
            time.sleep(60)
        time.sleep(60)
""",
    "interrupted: cleaning up": """
def main():
    with program.interruptible(lambda: "interrupted: cleaning up"):
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            threading.Event().wait()
""",
    "interrupted": """
def main():
    threading.Thread(target=time.sleep, args=(60,)).start()  # which Python would wait for
    with program.interruptible():
        print("ready", flush=True)
        threading.Event().wait()
""",
}
RUN = "\nprogram.run(main)\n"


def start(body: str, **options: object) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + body + RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("words", PROGRAMS)
def test_a_signal_ends_it(words: str, number: int):
    process = start(PROGRAMS[words])
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said.splitlines()[-1].removeprefix("python -m this: error: ") == words


def test_a_second_signal_ends_it_sooner():
    started = time.monotonic()
    process = start("program.PATIENCE = 60" + PROGRAMS["interrupted: cleaning up"])
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    assert process.communicate(timeout=30)[1].endswith("cleaning up\n")
    assert time.monotonic() - started < 30


def test_nobody_reads_what_it_says():
    wait = "time.sleep(60)\n        time"
    write = 'print("x" * (1 << 20), file=sys.stderr)\n        time'
    process = start(PROGRAMS["interrupted: at work"].replace(wait, write))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    process.communicate()


def test_what_must_be_done_is_done(tmp_path: Path):
    body = f"""
def main():
    from pathlib import Path
    cleanup = program.Cleanup(lambda: Path("{tmp_path}/done").touch())
    with program.interruptible():
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            {{}}
"""
    for ending in ("pass", "threading.Event().wait()", "raise SystemExit(5)", "cleanup()"):
        process = start(body.format(ending))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == (5 if "5" in ending else 1)
        (tmp_path / "done").unlink()


def test_a_program_that_outlives_its_terminal():
    process = start(PROGRAMS["in order"], preexec_fn=lambda: signal.signal(1, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == "in order\n"


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("return 3", 3, ""),
        ("sys.exit(2)", 2, ""),
        ("raise OSError(28, 'No space', 'a/file')", 1, "error: a/file: No space\n"),
        ("raise ValueError('odd')", 1, "ValueError: odd\n"),
        ("threading.Thread(target=time.sleep, args=(60,)).start()", 0, ""),
    ],
)
def test_its_exit_code(ending: str, code: int, said: str):
    body = f"def main():\n    print('out')\n    {ending}\n"
    command = [sys.executable, "-c", BEGIN + body + RUN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (code, "out\n")
    assert done.stderr.endswith(said)
    assert bool(done.stderr) == bool(said)


@pytest.mark.parametrize("closed", range(3))
def test_no_file_takes_the_place_of_a_closed_stream(closed: int, tmp_path: Path):
    body = f"""
with open("{tmp_path}/file", "w") as file:
    print("text", file=sys.stderr)
    open("{tmp_path}/number", "w").write(str(file.fileno()))
program.run(lambda: 0)
"""
    command = [sys.executable, "-c", BEGIN + body]
    subprocess.run(
        command, check=True, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.close(closed)
    )
    assert int((tmp_path / "number").read_text()) > 2
    assert (tmp_path / "file").read_text() == ""
